"""Which versions of Kafka's requests the model speaks."""

#: By API key: from and to which one. JoinGroup's from 5 on asks for a member's name first (KIP-394).
VERSIONS = {
    0: (3, 3), 1: (4, 4), 2: (2, 2), 3: (2, 2), 8: (3, 3), 9: (3, 3), 10: (1, 1), 11: (5, 5), 12: (1, 1), 13: (1, 1),
    14: (1, 1), 15: (0, 0), 16: (0, 0), 19: (1, 1), 21: (0, 0), 22: (0, 0), 24: (0, 0), 26: (0, 0), 32: (1, 1),
    33: (0, 0), 37: (0, 0),
}  # fmt: skip
