use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::*;
use crate::stream::Stream;
use crate::stream::testing::{Authority, named, plain_pair, read_up_to, shown};

/// What both ends say of a handshake.
struct Outcome {
    client: Result<Stream, String>,
    server: Result<Stream, String>,
}

async fn handshake(
    server: &ServerTls,
    protocol: &str,
    client: &ClientTls,
    verify: Verify,
    name: &str,
) -> Outcome {
    let (near, far) = plain_pair().await;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connect = async {
        let mut stream = near.connect_tls(client, verify, name).await.map_err(|error| error.to_string())?;
        // In TLS 1.3 a server's refusal comes after the client's end of the handshake.
        let mut greeting = Vec::new();
        stream.read(&mut greeting).await.map_err(|error| error.to_string())?;
        Ok(stream)
    };
    let accept = async {
        let mut stream = far.accept_tls(server, protocol).await.map_err(|error| error.to_string())?;
        stream.write_all(b"* OK\r\n").await.map_err(|error| error.to_string())?;
        Ok(stream)
    };
    let (client, server) = tokio::join!(connect, accept);
    Outcome { client, server }
}

async fn client_error(server: &SslSettings, client: &ClientTls, name: &str) -> String {
    let server = ServerTls::load(server, &[]).unwrap();
    handshake(&server, "imap", client, Verify::Fully, name).await.client.unwrap_err()
}

fn with(client: &ClientTls, change: impl FnOnce(&mut ClientConfig)) -> ClientTls {
    let mut config = ClientConfig::clone(&client.verified);
    change(&mut config);
    let config = Arc::new(config);
    ClientTls { verified: Arc::clone(&config), any: config }
}

#[tokio::test]
async fn a_backend_is_refused_for_what_is_wrong_with_its_certificate() {
    let authority = Authority::new();
    let client = ClientTls::load(&authority.client()).unwrap();
    let error = client_error(&authority.server("other.example.org"), &client, "mail.example.com").await;
    assert_eq!(error, "certificate of the server is not for mail.example.com but for other.example.org");

    let (cert, key) = authority.issue("mail.example.com", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let error = client_error(&shown(cert, key), &client, "mail.example.com").await;
    assert!(error.starts_with("certificate of the server has expired ("), "{error}");

    let (cert, key) =
        authority.issue("mail.example.com", |params| params.not_before = date_time_ymd(2999, 1, 1));
    let error = client_error(&shown(cert, key), &client, "mail.example.com").await;
    assert_eq!(error, "certificate of the server is not valid yet (is the clock right?)");

    let error = client_error(&Authority::new().server("mail.example.com"), &client, "mail.example.com").await;
    assert_eq!(error, "certificate of the server was issued by nobody we trust (see ssl_client_ca_file)");

    let server = ServerTls::load(&authority.server("mail.example.com"), &[]).unwrap();
    let outcome = handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await;
    assert!(outcome.client.is_ok() && outcome.server.is_ok());
}

#[tokio::test]
async fn a_refused_server_learns_why() {
    let server = ServerTls::load(&Authority::new().server("mail.example.com"), &[]).unwrap();
    let stranger = Authority::new();
    let client = ClientTls::load(&stranger.client()).unwrap();
    let outcome = handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await;
    assert_eq!(
        outcome.server.unwrap_err(),
        "client does not know who issued our certificate (alert unknown_ca)"
    );
}

#[tokio::test]
async fn any_certificate_will_do_when_that_was_asked_for() {
    let (cert, key) = Authority::new().issue("other.example.org", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let server = ServerTls::load(&shown(cert, key), &[]).unwrap();
    let stranger = Authority::new();
    let client = ClientTls::load(&stranger.client()).unwrap();
    let outcome = handshake(&server, "imap", &client, Verify::AnyCertificate, "mail.example.com").await;
    assert!(outcome.client.is_ok());

    // The administrator may want the same of every backend.
    let lax = SslSettings { client_require_valid_cert: false, ..stranger.client() };
    let client = ClientTls::load(&lax).unwrap();
    assert!(handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await.client.is_ok());
}

/// A certificate of its own, as `openssl req -x509` makes it.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted_if_it_is_the_trusted_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backend.pem");
    let trusting = |pem: &str| {
        std::fs::write(&file, pem).unwrap();
        let settings =
            SslSettings { client_ca_file: file.display().to_string(), ..Authority::new().client() };
        ClientTls::load(&settings).unwrap()
    };
    let (cert, key) = self_signed(|_| {});
    let client = trusting(&cert);
    let server = ServerTls::load(&shown(cert.clone(), key), &[]).unwrap();
    assert!(handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await.client.is_ok());

    let wrong_name =
        handshake(&server, "imap", &client, Verify::Fully, "other.example.org").await.client.unwrap_err();
    assert!(wrong_name.starts_with("certificate of the server is not for other.example.org"), "{wrong_name}");

    // A new client, as the one before would resume its session and see no certificate.
    let client = trusting(&cert);
    let (other, key) = self_signed(|_| {});
    let error = client_error(&shown(other, key), &client, "mail.example.com").await;
    assert!(error.starts_with("certificate of the server "), "{error}");

    let (cert, key) = self_signed(|params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let client = trusting(&cert);
    let error = client_error(&shown(cert, key), &client, "mail.example.com").await;
    assert!(error.starts_with("certificate of the server has expired"), "{error}");
}

#[tokio::test]
async fn authorities_are_found_in_a_directory_among_other_files() {
    let authority = Authority::new();
    std::fs::write(authority.directory.path().join("README"), "no certificate").unwrap();
    let settings = SslSettings {
        client_ca_dir: authority.directory.path().display().to_string(),
        client_ca_file: String::new(),
        ..authority.client()
    };
    let client = ClientTls::load(&settings).unwrap();
    let server = ServerTls::load(&authority.server("mail.example.com"), &[]).unwrap();
    assert!(handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await.client.is_ok());
}

#[tokio::test]
async fn the_name_a_client_asks_for_decides_which_certificate_it_is_shown() {
    let authority = Authority::new();
    let client = ClientTls::load(&authority.client()).unwrap();
    let names = [
        named("*.example.org", authority.server("*.example.org")),
        named("IMAP.example.org", authority.server("imap.example.org")),
        named("mail.example.net", authority.server("mail.example.net")),
    ];
    let server = ServerTls::load(&authority.server("mail.example.com"), &names).unwrap();
    for (asked, shown) in [
        ("imap.example.org", "imap.example.org"),
        ("Mail.Example.Org", "*.example.org"),
        ("mail.example.net", "mail.example.net"),
        ("a.b.example.org", "mail.example.com"),
        ("example.org", "mail.example.com"),
        ("elsewhere.invalid", "mail.example.com"),
    ] {
        let outcome = handshake(&server, "imap", &client, Verify::AnyCertificate, asked).await;
        let facts = outcome.server.unwrap().tls().unwrap();
        assert_eq!(facts.server_name.as_deref(), Some(asked.to_ascii_lowercase().as_str()));
        let expected = if shown == "mail.example.com" { None } else { Some(shown) };
        let outcome = handshake(&server, "imap", &client, Verify::Fully, asked).await;
        match expected {
            Some(_) => assert!(outcome.client.is_ok(), "{asked}: {:?}", outcome.client),
            None => assert!(outcome.client.unwrap_err().contains("but for mail.example.com"), "{asked}"),
        }
    }
}

#[tokio::test]
async fn an_alternative_certificate_is_shown_to_clients_that_prefer_its_kind() {
    let authority = Authority::new();
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let cert =
        CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (alt_cert, alt_key) = authority.issue("mail.example.com", |_| {});
    let settings = SslSettings {
        alt_cert: Some(config::value::Content::Text(alt_cert)),
        alt_key: Some(config::value::Content::Text(alt_key)),
        ..shown(cert.pem(), key.serialize_pem())
    };
    let server = ServerTls::load(&settings, &[]).unwrap();
    // rustls puts ECDSA before Ed25519, and only the alternative is from a trusted issuer.
    let client = ClientTls::load(&authority.client()).unwrap();
    assert!(handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await.client.is_ok());
}

#[tokio::test]
async fn a_client_that_asks_for_another_protocol_is_refused() {
    let authority = Authority::new();
    let client = ClientTls::load(&authority.client()).unwrap();
    let server = ServerTls::load(&authority.server("mail.example.com"), &[]).unwrap();
    for (protocol, offered, agreed) in [
        ("imap", vec!["imap"], true),
        ("imap", vec!["h2", "imap"], true),
        ("imap", vec!["h2", "http/1.1"], false),
        ("imap", vec!["pop3"], false),
        ("pop3", vec!["pop3"], true),
        ("sieve", vec!["managesieve"], true),
        ("submission", vec!["http/1.1"], false),
        ("something-else", vec!["http/1.1"], false),
        ("imap", vec![], true),
    ] {
        let client = with(&client, |config| {
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        });
        let outcome = handshake(&server, protocol, &client, Verify::Fully, "mail.example.com").await;
        match outcome.server {
            Ok(stream) => {
                assert!(agreed, "{protocol} {offered:?}");
                assert_eq!(stream.tls().unwrap().protocol.as_deref(), offered.last().copied());
            }
            Err(error) => {
                assert!(!agreed, "{protocol} {offered:?}");
                assert_eq!(error, "client asked by ALPN for another protocol than this one");
                assert_eq!(outcome.client.unwrap_err(), "server gave up TLS (alert NoApplicationProtocol)");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_is_too_old_is_refused_with_the_reason() {
    let authority = Authority::new();
    let settings = SslSettings { min_protocol: "TLSv1.3".to_owned(), ..authority.server("mail.example.com") };
    let server = ServerTls::load(&settings, &[]).unwrap();
    let old = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verify::any_certificate())
        .with_no_client_auth();
    let old = Arc::new(old);
    let client = ClientTls { verified: Arc::clone(&old), any: old };
    let outcome = handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await;
    assert_eq!(outcome.server.unwrap_err(), "client shares no TLS version with us");
    assert_eq!(outcome.client.unwrap_err(), "server shares no TLS version with us (alert protocol_version)");

    let server = ServerTls::load(&authority.server("mail.example.com"), &[]).unwrap();
    let facts =
        handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await.server.unwrap().tls();
    let facts = facts.unwrap();
    assert_eq!((facts.version, facts.cipher, facts.bits), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", 256));
}

/// Tickets are good in every worker, and after a reload.
#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session_with_any_server_of_this_process() {
    let authority = Authority::new();
    let settings = authority.server("mail.example.com");
    let client = ClientTls::load(&authority.client()).unwrap();
    for expected in [false, true, true] {
        let server = ServerTls::load(&settings, &[]).unwrap();
        let outcome = handshake(&server, "imap", &client, Verify::Fully, "mail.example.com").await;
        assert_eq!(outcome.server.unwrap().tls().unwrap().resumed, expected);
    }
}

#[tokio::test]
async fn tickets_and_greeting_leave_in_one_segment() {
    let authority = Authority::new();
    let server = ServerTls::load(&authority.server("mail.example.com"), &[]).unwrap();
    let client = ClientTls::load(&authority.client()).unwrap();
    let (near, far) = plain_pair().await;
    let name = ServerName::try_from("mail.example.com").unwrap();
    let (near, far) =
        tokio::join!(near.connect_tls(&client, Verify::Fully, name), far.accept_tls(&server, "imap"));
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    let waiting = |stream: &Stream| received_and_unread(stream);
    assert_eq!(waiting(&near), 0);
    far.write_all(b"* OK ready\r\n").await.unwrap();
    assert!(waiting(&near) > 200, "two tickets are more than that");
    assert_eq!(read_up_to(&mut near, 12).await, b"* OK ready\r\n");
}

/// Bytes that a socket has received and nobody read.
fn received_and_unread(stream: &Stream) -> usize {
    let mut bytes = [std::mem::MaybeUninit::uninit(); 8192];
    socket2::SockRef::from(stream).peek(&mut bytes).unwrap_or(0)
}

#[test]
fn what_is_wrong_with_certificates_is_said_all_at_once_with_the_place() {
    let authority = Authority::new();
    let path = |name: &str| authority.directory.path().join(name);
    let file = |name: &str, text: &str| {
        std::fs::write(path(name), text).unwrap();
        Some(config::value::Content::File(path(name)))
    };
    let (cert, key) = authority.issue("mail.example.com", |_| {});
    let (other_cert, other_key) = authority.issue("mail.example.com", |_| {});
    let base =
        SslSettings { cert: file("cert.pem", &cert), key: file("key.pem", &key), ..SslSettings::default() };
    let problems = |settings: SslSettings| ServerTls::load(&settings, &[]).unwrap_err();
    let dir = authority.directory.path().display();

    assert!(ServerTls::load(&base, &[]).is_ok());
    assert_eq!(
        problems(SslSettings::default()),
        ["ssl_cert: not set (name the certificate's file: ssl_cert = </path/to/cert.pem)"]
    );
    assert_eq!(
        problems(SslSettings { key: None, ..base.clone() }),
        ["ssl_key: not set, but ssl_cert is (name the key's file: ssl_key = </path/to/key.pem)"]
    );
    assert_eq!(
        problems(SslSettings {
            cert: Some(config::value::Content::File(path("missing.pem"))),
            key: Some(config::value::Content::Text("/etc/key.pem".to_owned())),
            min_protocol: "TLSv2".to_owned(),
            ..SslSettings::default()
        }),
        [
            format!("ssl_cert: {dir}/missing.pem: No such file or directory"),
            "ssl_key: /etc/key.pem: a file is written with < before it (ssl_key = </etc/key.pem)".to_owned(),
            "ssl_min_protocol: unknown version \"TLSv2\" (use TLSv1.2 or TLSv1.3)".to_owned(),
        ]
    );
    assert_eq!(
        problems(SslSettings { key: file("other.pem", &other_key), ..base.clone() }),
        [format!(
            "ssl_key: {dir}/other.pem is not the key of the certificate in ssl_cert: {dir}/cert.pem \
             (the server's own certificate must be the first)"
        )]
    );
    assert_eq!(
        problems(SslSettings { cert: file("swapped.pem", &key), ..base.clone() }),
        [format!(
            "ssl_cert: {dir}/swapped.pem: no certificate in it (PEM begins with -----BEGIN CERTIFICATE-----)"
        )]
    );
    assert_eq!(
        problems(SslSettings { key: file("swapped.pem", &cert), ..base.clone() }),
        [format!(
            "ssl_key: {dir}/swapped.pem: no private key in it (PEM begins with -----BEGIN PRIVATE KEY-----)"
        )]
    );
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(
        problems(SslSettings { key: file("locked.pem", &encrypted), ..base.clone() }),
        [format!(
            "ssl_key: {dir}/locked.pem: the key is encrypted, which is not supported (decrypt it: openssl pkey -in OLD -out NEW)"
        )]
    );
    let cut = &cert[..cert.len() - 20];
    assert_eq!(
        problems(SslSettings { cert: file("cut.pem", cut), ..base.clone() }),
        [format!("ssl_cert: {dir}/cut.pem: broken PEM: \"-----END CERTIFICATE-----\" is missing")]
    );
    let torn = cert.replacen("MII", "MI!", 1);
    assert_eq!(
        problems(SslSettings { cert: file("torn.pem", &torn), ..base.clone() }),
        [format!("ssl_cert: {dir}/torn.pem: broken PEM: text between BEGIN and END is not base64")]
    );
    let bad_name =
        named("imap.example.org", SslSettings { cert: file("other_cert.pem", &other_cert), ..base.clone() });
    assert_eq!(
        ServerTls::load(&base, &[bad_name]).unwrap_err(),
        [format!(
            "local_name imap.example.org: ssl_key: {dir}/key.pem is not the key of the certificate in \
             ssl_cert: {dir}/other_cert.pem (the server's own certificate must be the first)"
        )]
    );
    let missing = SslSettings { client_ca_file: format!("{dir}/missing.pem"), ..SslSettings::default() };
    assert_eq!(
        ClientTls::load(&missing).unwrap_err(),
        [format!("ssl_client_ca_file: {dir}/missing.pem: No such file or directory")]
    );
}

#[test]
fn the_first_expiry_is_known() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("a", |params| params.not_after = date_time_ymd(2031, 1, 1));
    let (sooner, sooner_key) = authority.issue("b", |params| params.not_after = date_time_ymd(2030, 1, 1));
    let server =
        ServerTls::load(&shown(cert, key), &[named("b", shown(sooner.clone(), sooner_key))]).unwrap();
    assert_eq!(server.expires(), UNIX_EPOCH.checked_add(Duration::from_secs(1_893_456_000)));
    let der = CertificateDer::from_pem_slice(sooner.as_bytes()).unwrap();
    assert_eq!(certificate::validity(&der).unwrap().not_after, 1_893_456_000);
}
