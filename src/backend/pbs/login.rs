//! The identity of the client: an API token, or a user with a ticket that is renewed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::backend::FetchError;
use crate::backend::pbs::exchange::{Reply, Server};
use crate::backend::pbs::refusal::{self, Asked};
use crate::backend::secret::SecretValue;
use crate::error::{Error, ErrorKind};
use crate::place::Repository;

/// A ticket is valid for two hours. It is renewed at half that age.
const RENEWED_AFTER: Duration = Duration::from_secs(3600);

/// The longest wait for another thread's sign-in before the cancel is looked at.
const SLICE: Duration = Duration::from_millis(250);

/// The most bytes of an answer to a sign-in. An answer with a ticket has some hundred bytes.
const MAX_ANSWER: usize = 64 << 10;

const SIGN_IN: &str = "/api2/json/access/ticket";

/// The cookies that a ticket may be sent in: the first is that of PBS 3, the second that of PBS 4.
const COOKIES: [&str; 2] = ["PBSAuthCookie", "__Host-PBSAuthCookie"];

/// The identity that requests are made with.
pub(super) struct Login {
    identity: String,
    is_token: bool,
    secret: Option<Zeroizing<String>>,
    /// This lock is held during a sign-in, so that all threads that need a ticket wait for the same
    /// one.
    ticket: Mutex<Option<Ticket>>,
}

struct Ticket {
    text: Zeroizing<String>,
    /// The name of the cookie that the ticket is sent in.
    name: &'static str,
    since: Instant,
}

impl Ticket {
    fn cookie(&self) -> Zeroizing<String> {
        Zeroizing::new([self.name, "=", &self.text].concat())
    }
}

/// The header that proves the identity of the client.
pub(super) struct Proof {
    pub(super) name: &'static str,
    pub(super) value: SecretValue,
}

impl Login {
    /// A login with a password or a token's secret. A missing secret is an error only when it is
    /// needed.
    pub(super) fn new(repository: &Repository, secret: Option<Zeroizing<String>>) -> Login {
        Login {
            identity: repository.identity().to_owned(),
            is_token: repository.is_token(),
            secret,
            ticket: Mutex::new(None),
        }
    }

    /// The header for the next request. Signs in if that is needed.
    ///
    /// # Errors
    /// [`FetchError::Denied`] if the server does not accept the credentials, or there are none; the
    /// error of the connection if the server can't be reached; [`FetchError::Cancelled`].
    pub(super) fn proof(&self, server: &Server<'_>) -> Result<Proof, FetchError> {
        let Some(secret) = &self.secret else {
            let what = if self.is_token {
                "secret of the token"
            } else {
                "password of"
            };
            return Err(denied(format!(
                "the {what} {} is not known; give it in PBS_PASSWORD, or in a file that PBS_PASSWORD_FILE names",
                self.identity
            )));
        };
        if self.is_token {
            let text = ["PBSAPIToken=", &self.identity, ":", secret].concat();
            return proof("authorization", Zeroizing::new(text));
        }
        // Another thread may be signing in, which can take long.
        let mut ticket = loop {
            if server.cancel.is_cancelled() {
                return Err(FetchError::Cancelled);
            }
            if let Some(ticket) = self.ticket.try_lock_for(SLICE) {
                break ticket;
            }
        };
        let current = match ticket.take() {
            Some(current) if current.since.elapsed() < RENEWED_AFTER => current,
            // An old ticket can be renewed by using it as the password, unless it has expired.
            Some(old) => match self.sign_in(server, &old.text) {
                Err(FetchError::Denied(_)) => self.sign_in(server, secret)?,
                renewed => renewed?,
            },
            None => self.sign_in(server, secret)?,
        };
        let current = ticket.insert(current);
        proof("cookie", current.cookie())
    }

    /// Notes that the server refused a proof. If a new ticket might help, the next proof has one.
    /// Returns whether a new ticket might help.
    pub(super) fn forget(&self, refused: &Proof) -> bool {
        if self.is_token {
            return false;
        }
        // A thread that is signing in holds the lock, and replaces the ticket anyway.
        let Some(mut ticket) = self.ticket.try_lock() else {
            return true;
        };
        let refused = refused.value.reveal();
        let is_current =
            (ticket.as_ref()).is_some_and(|ticket| ticket.cookie().as_str() == refused);
        if is_current {
            *ticket = None;
        }
        true
    }

    fn sign_in(&self, server: &Server<'_>, password: &str) -> Result<Ticket, FetchError> {
        let form = form(&self.identity, password)?;
        let reply = server.post(SIGN_IN, &form, MAX_ANSWER)?;
        if reply.status != 200 {
            return Err(match reply.refusal(Asked::SignIn) {
                FetchError::Denied(cause) => {
                    let message = format!("{} could not sign in", self.identity);
                    FetchError::Denied(Error::new(ErrorKind::Denied, message).because(cause).into())
                }
                other => other,
            });
        }
        // A Proxmox VE host issues tickets of its own to users that it knows.
        let is_of_pbs = |text: &str| text.starts_with("PBS:") || text.starts_with("PBS%3A");
        let ticket = ticket_of(&reply).filter(|(_, text)| is_of_pbs(text));
        let Some((name, text)) = ticket else {
            return Err(refusal::other_than("a ticket", &reply.body));
        };
        if text.starts_with("PBS:!tfa!") {
            return Err(denied(format!(
                "{} signs in with a second factor, which can't be done here; use an API token",
                self.identity
            )));
        }
        Ok(Ticket {
            text,
            name,
            since: Instant::now(),
        })
    }
}

/// The ticket and the name of its cookie. PBS 4 may set the ticket as a cookie instead of returning
/// it in the answer's JSON.
fn ticket_of(reply: &Reply) -> Option<(&'static str, Zeroizing<String>)> {
    let named = |cookie: &'static str| {
        let mut values = reply
            .cookies
            .iter()
            .filter_map(|set| set.strip_prefix(cookie)?.strip_prefix('='));
        let value = values.find_map(|value| value.split(';').next())?;
        Some((cookie, Zeroizing::new(value.to_owned())))
    };
    let value: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let in_body = value
        .get("data")
        .and_then(|data| data.get("ticket"))
        .and_then(Value::as_str);
    match in_body {
        Some(text) => Some((COOKIES[0], Zeroizing::new(text.to_owned()))),
        None => named(COOKIES[1]).or_else(|| named(COOKIES[0])),
    }
}

/// The sign-in request as JSON.
fn form(identity: &str, password: &str) -> Result<Zeroizing<Vec<u8>>, FetchError> {
    let form = BTreeMap::from([("username", identity), ("password", password)]);
    // JSON takes at most six bytes for each byte, and all of it is allocated at once, so that no
    // copy of the password is left behind.
    let capacity = 6 * (identity.len() + password.len()) + 64;
    let mut json = Zeroizing::new(Vec::with_capacity(capacity));
    serde_json::to_writer(&mut *json, &form).map_err(|error| FetchError::Fatal(error.into()))?;
    Ok(json)
}

fn proof(name: &'static str, text: Zeroizing<String>) -> Result<Proof, FetchError> {
    let value = SecretValue::new(text)
        .ok_or_else(|| denied("the secret has a byte in it that no header can carry".to_owned()))?;
    Ok(Proof { name, value })
}

fn denied(message: String) -> FetchError {
    FetchError::Denied(Error::new(ErrorKind::Denied, message).into())
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.identity)
    }
}
