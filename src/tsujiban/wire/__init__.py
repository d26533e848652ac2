"""What travels between the controller and a node. Messages only; transport is theirs."""
