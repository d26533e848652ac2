from tsujiban.agent import podservices
from tsujiban.policy.program import ServicePort, ServiceProgram

DATABASE = ServiceProgram(
    id="shop/my-db",
    addresses=("10.96.0.7", "fd00::7"),
    ports=(
        ServicePort(protocol=6, port=5432, name="pg-main"),
        ServicePort(protocol=17, port=53, name="dns"),
    ),
)


def test_a_service_is_told_as_kubernetes_and_as_docker_do() -> None:
    assert podservices.of_namespace([DATABASE], "shop") == {
        "MY_DB_SERVICE_HOST": "10.96.0.7",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_PG_MAIN": "5432",
        "MY_DB_SERVICE_PORT_DNS": "53",
        "MY_DB_PORT": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.7",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.7:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.7",
    }


def test_those_of_another_namespace_and_those_without_an_address_are_not_told() -> None:
    headless = ServiceProgram(id="shop/peers", ports=(ServicePort(protocol=6, port=1),))
    assert podservices.of_namespace([DATABASE, headless], "shop-2") == {}
    assert podservices.of_namespace([headless], "shop") == {}


def test_an_ipv6_address_has_brackets_in_a_url() -> None:
    six = ServiceProgram(id="a/b", addresses=("fd00::1",), ports=(ServicePort(protocol=6, port=80),))
    found = podservices.of_namespace([six], "a")
    assert (found["B_SERVICE_HOST"], found["B_PORT"]) == ("fd00::1", "tcp://[fd00::1]:80")


def test_where_the_api_is() -> None:
    given = podservices.of_api("10.96.0.1")
    assert given["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert given["KUBERNETES_SERVICE_PORT"] == given["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert given["KUBERNETES_PORT"] == "tcp://10.96.0.1:443"
    assert given["KUBERNETES_PORT_443_TCP_ADDR"] == "10.96.0.1"
    assert podservices.of_api("") == {}
