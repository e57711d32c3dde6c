"""What clients send that is no request, or hardly one."""

import random
from collections.abc import Sequence

POST_LOGIN = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
NONSENSE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 100,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%ff%fe/../.. HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + 10_000 * b"a" + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + 10_000 * b"a" + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(500)) + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: the worst\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: \xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nCookie: creditstream_session=\xff; \x80=;;\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + 100 * b"\x81",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    POST_LOGIN + b"Content-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
    POST_LOGIN + b"Content-Length: 3\r\nContent-Encoding: br\r\n\r\nabc",
    POST_LOGIN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    POST_LOGIN + b"Content-Length: 2\r\n\r\n\xff\xfe",
    POST_LOGIN + b"Content-Length: 40\r\n\r\n" + 20 * b"a&",
    POST_LOGIN + b"Content-Length: 30000\r\n\r\n" + 30_000 * b"a",
    POST_LOGIN.replace(b"x-www-form-urlencoded", b"x-www-form-urlencoded; charset=nonsense")
    + b"Content-Length: 1\r\n\r\na",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\nContent-Length: 1\r\n\r\na",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: ;;;\r\nContent-Length: 1\r\n\r\na",
]


def mutated(dice: random.Random, requests: Sequence[bytes]) -> bytes:
    """One of them with a few bytes changed, left out or put in."""
    data = bytearray(dice.choice(requests))
    for _ in range(dice.randrange(1, 6)):
        place = dice.randrange(len(data) + 1)
        other = dice.choice((b"\r\n", b"\x00", b"\xff", b":", b" ", b"0", dice.randbytes(3)))
        data[place : place + dice.randrange(4)] = other
    return bytes(data)
