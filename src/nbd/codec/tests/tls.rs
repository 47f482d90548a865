//! Servers that require TLS, and those that have none.

use super::*;

fn forced(exports: &[ExportInfo]) -> Offer<'_> {
    Offer {
        requires_tls: true,
        ..offer(exports)
    }
}

#[test]
fn a_server_without_tls_says_so_and_goes_on() {
    let exports = exports(&["a"]);
    let mut client = Client::new(offer(&exports), FIXED);
    assert_eq!(client.kinds(STARTTLS, b""), [ERR_UNSUP]);
    assert_eq!(client.kinds(LIST, b""), [SERVER, ACK]);
}

#[test]
fn before_tls_every_option_but_its_start_and_the_end_is_refused() {
    let exports = exports(&["a"]);
    let mut client = Client::new(forced(&exports), FIXED);
    for number in (0..20).chain([u32::MAX]) {
        if ![EXPORT_NAME, ABORT, STARTTLS].contains(&number) {
            assert_eq!(client.kinds(number, b""), [ERR_TLS_REQD], "{number}");
        }
    }
    assert_eq!(client.kinds(GO, &wants("a", &[])), [ERR_TLS_REQD]);
    let long = vec![0; 100_000];
    assert_eq!(client.kinds(LIST, &long), [ERR_TLS_REQD]);
    assert_eq!(client.ask(ABORT, b"").0, Step::End);
}

#[test]
fn before_tls_an_export_by_its_name_alone_ends_the_connection() {
    let exports = exports(&["a"]);
    for flags in [0, FIXED] {
        let mut client = Client::new(forced(&exports), flags);
        let (step, output) = client.send(&option(EXPORT_NAME, b"a"));
        assert_eq!((step, output.len()), (Step::End, 0));
    }
}

#[test]
fn the_start_of_tls_throws_away_everything_that_came_before() {
    let exports = exports(&["a"]);
    let mut client = Client::new(forced(&exports), FIXED_WITHOUT_ZEROES);
    let mut bytes = option(STARTTLS, b"");
    // Somebody between client and server may have put this behind it.
    bytes.extend(option(STRUCTURED_REPLY, b""));
    let (step, output) = client.send(&bytes);
    assert_eq!((step, parse(&output)[0].kind), (Step::StartTls, ACK));

    let mut client = Client(client.0.secured());
    let (step, output) = client.send(b"");
    assert_eq!((step, output.len()), (Step::Read, 0));
    assert_eq!(client.kinds(LIST, b""), [SERVER, ACK]);
    let agreement = client.go("a", &[]);
    assert!(!agreement.is_structured);
}

#[test]
fn the_clients_flags_hold_on_over_tls() {
    let exports = exports(&["a"]);
    let mut client = Client::new(forced(&exports), FIXED_WITHOUT_ZEROES);
    client.ask(STARTTLS, b"");
    let mut client = Client(client.0.secured());
    let (_, output) = client.send(&option(EXPORT_NAME, b"a"));
    assert_eq!(output.len(), 10);
}

#[test]
fn tls_is_started_once_and_without_data() {
    let exports = exports(&["a"]);
    let mut client = Client::new(forced(&exports), FIXED);
    assert_eq!(client.kinds(STARTTLS, b"x"), [ERR_INVALID]);
    assert_eq!(client.ask(STARTTLS, b"").0, Step::StartTls);
    let mut client = Client(client.0.secured());
    assert_eq!(client.kinds(STARTTLS, b""), [ERR_INVALID]);
}
