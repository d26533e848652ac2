from tsujiban.kernel import share
from tsujiban.kernel.table import Table


def test_pods_are_known_by_their_links_and_others_by_address() -> None:
    table = Table("t")
    assert share.add(table, "drop") == "denied-share"
    assert table.chains["denied-share"].rules == (
        'iifname "tsj*" update @denied-links { iifname limit rate 20/second burst 100 packets } return',
        'iifname "tsj*" drop return',
        "update @denied-ip { ip saddr limit rate 20/second burst 100 packets } "
        "limit rate 500/second burst 1000 packets return",
        "update @denied-ip6 { ip6 saddr limit rate 20/second burst 100 packets } "
        "limit rate 500/second burst 1000 packets return",
        "drop",
    )
    assert {name: made.type for name, made in table.sets.items()} == {
        "denied-links": "ifname",
        "denied-ip": "ipv4_addr",
        "denied-ip6": "ipv6_addr",
    }
    assert all(made.size and made.timeout for made in table.sets.values())
    assert share.add(table, "drop") == "denied-share"
