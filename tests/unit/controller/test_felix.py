from tsujiban.controller.felix import told
from tsujiban.controller.world import FELIX_CONFIGURATIONS, Json, Ref, World


def world(**specs: Json) -> World:
    made = World()
    for name, spec in specs.items():
        full = name.replace("_", ".")
        made.put(
            Ref(*FELIX_CONFIGURATIONS, "", full), {"metadata": {"name": full, "uid": name}, "spec": spec}
        )
    return made


def test_without_a_configuration_the_defaults_stand() -> None:
    assert told(world(), "n") == {"failsafe_inbound": None, "failsafe_outbound": None, "reject": False}


def test_a_node_overrides_field_by_field_and_an_empty_list_is_no_port() -> None:
    port = {"protocol": "UDP", "port": 53, "net": "192.0.2.0/24"}
    made = world(
        default={"failsafeInboundHostPorts": [port], "nftablesFilterDenyAction": "Reject"},
        node_n={"failsafeOutboundHostPorts": [], "failsafeInboundHostPorts": [{"port": 22}]},
    )
    assert told(made, "n") == {"failsafe_inbound": ((6, 22, ""),), "failsafe_outbound": (), "reject": True}
    assert told(made, "m") == {
        "failsafe_inbound": ((17, 53, "192.0.2.0/24"),),
        "failsafe_outbound": None,
        "reject": True,
    }
