"""Logs in in every way poplib knows, lists and reads the two messages of the mailbox."""

import base64
import poplib
import ssl
import sys

plain_port, tls_port, certificate, user, password = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
trust = ssl.create_default_context(cafile=certificate)


def main():
    for connect in in_the_clear, under_tls, with_stls:
        for log_in in by_user, by_plain, by_plain_at_once, by_login:
            client = connect()
            assert "SASL" in client.capa(), client.capa()
            log_in(client)
            read(client)
            client.quit()
    refused()
    print("done")


def in_the_clear():
    return poplib.POP3("127.0.0.1", plain_port, timeout=30)


def under_tls():
    return poplib.POP3_SSL("127.0.0.1", tls_port, context=trust, timeout=30)


def with_stls():
    client = in_the_clear()
    client.stls(trust)
    return client


def by_user(client):
    client.user(user)
    client.pass_(password)


def by_plain(client):
    assert client._shortcmd("AUTH PLAIN") == b"+ "
    client._shortcmd(encoded(f"\0{user}\0{password}"))


def by_plain_at_once(client):
    client._shortcmd("AUTH PLAIN " + encoded(f"\0{user}\0{password}"))


def by_login(client):
    assert client._shortcmd("AUTH LOGIN") == b"+ " + base64.b64encode(b"Username:")
    assert client._shortcmd(encoded(user)) == b"+ " + base64.b64encode(b"Password:")
    client._shortcmd(encoded(password))


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def read(client):
    count, size = client.stat()
    assert count == 2 and size > 0, (count, size)
    _, sizes, _ = client.list()
    assert len(sizes) == 2, sizes
    assert len(client.uidl()[1]) == 2
    subjects = [next(line for line in client.retr(n)[1] if line.startswith(b"Subject: ")) for n in (1, 2)]
    assert sorted(subjects) == [b"Subject: First", b"Subject: Second"], subjects
    assert any(line.startswith(b"From: ") for line in client.top(1, 0)[1])


def refused():
    """A failed login leaves the connection good for the next."""
    for connect in in_the_clear, under_tls:
        client = connect()
        client.user(user)
        try:
            client.pass_("wrong")
        except poplib.error_proto as error:
            assert "[AUTH]" in str(error), error
        else:
            raise AssertionError("let in with a wrong password")
        by_user(client)
        read(client)
        client.quit()


main()
