//! One connection from its first byte to its last.

use std::io;
use std::time::Instant;

use super::channel::Channel;
use super::codec::{Agreement, Negotiation, Step, greeting};
use super::peers::Peer;
use super::service::Service;
use super::transmission::{Transmission, transmit};
use crate::cancel::Cancel;

/// Serves a client until the connection ends. Whatever goes wrong concerns this client alone.
pub(super) fn serve(service: &Service, peer: &Peer, cancel: &Cancel) {
    let _open = service.tally.record_connection();
    // A client learns nothing of a failed handshake but its end.
    let Ok(Some(agreed)) = shake_hands(service, peer) else {
        peer.link().finish();
        return;
    };
    let transmission = Transmission {
        channel: &agreed.channel,
        reader: &service.readers[agreed.agreement.export],
        agreement: agreed.agreement,
        export: &service.exports[agreed.agreement.export].name,
        tally: &service.tally,
        failure_hook: &service.failure_hook,
        cancel,
    };
    transmit(&transmission, agreed.rest);
    agreed.channel.close();
}

/// The end of a handshake.
struct Agreed<'a> {
    channel: Channel<'a>,
    agreement: Agreement,
    /// Bytes that came with the client's last option.
    rest: Vec<u8>,
}

/// Goes through the options of a client. `None` if the client does not want to read.
fn shake_hands<'a>(service: &Service, peer: &'a Peer) -> io::Result<Option<Agreed<'a>>> {
    let now = Instant::now();
    let deadline = now.checked_add(service.handshake_limit);
    let mut channel = Channel::plain(peer.link());
    channel.send(&greeting(), deadline)?;
    let mut negotiation = Negotiation::new(service.offer());
    let mut output = Vec::new();
    loop {
        output.clear();
        let step = negotiation.advance(&mut output);
        // From then on, the connection is not closed for another one.
        if matches!(step, Step::Transmit(_)) && !peer.record_handshake() {
            return Ok(None);
        }
        if !output.is_empty() {
            channel.send(&output, deadline)?;
        }
        match step {
            Step::Reply => {}
            Step::Read => {
                let mut input = Vec::new();
                if channel.receive(&mut input, deadline)? == 0 {
                    return Ok(None);
                }
                negotiation.push(&input);
            }
            Step::StartTls => {
                let Some(tls) = &service.tls else {
                    return Ok(None);
                };
                channel = Channel::secure(peer.link(), tls.config(), deadline)?;
                negotiation = negotiation.secured();
            }
            Step::Transmit(agreement) => {
                return Ok(Some(Agreed {
                    channel,
                    agreement,
                    rest: negotiation.into_rest(),
                }));
            }
            Step::End => {
                channel.close();
                return Ok(None);
            }
        }
    }
}
