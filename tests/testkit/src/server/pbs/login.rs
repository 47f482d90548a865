//! Who may do what: users, tokens, tickets. Knows nothing of HTTP but its headers.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use serde_json::{Value, json};

use super::tally::Tally;
use super::{Pbs, PbsServer};
use crate::server::lock;
use crate::server::play::Play;
use crate::server::url::percent_decoded;

/// All accounts by their id, tokens too.
pub(crate) struct Accounts {
    by_id: HashMap<String, Account>,
}

pub(crate) struct Account {
    password: String,
    pub(crate) may_read: bool,
    /// The namespace that it may read, if not all.
    pub(crate) only_in: Option<String>,
    pub(crate) has_second_factor: bool,
}

impl Accounts {
    pub(crate) fn new() -> Accounts {
        let by_id = HashMap::new();
        let mut accounts = Accounts { by_id };
        accounts.add(PbsServer::USER, PbsServer::PASSWORD);
        accounts.add(PbsServer::TOKEN, PbsServer::SECRET);
        accounts
    }

    pub(crate) fn add(&mut self, id: &str, password: &str) -> &mut Account {
        let account = Account {
            password: password.to_owned(),
            may_read: true,
            only_in: None,
            has_second_factor: false,
        };
        let entry = self.by_id.entry(id.to_owned());
        entry.insert_entry(account).into_mut()
    }
}

impl Account {
    pub(crate) fn may_read_in(&self, namespace: &str) -> bool {
        let is_in = |only: &String| {
            let rest = namespace.strip_prefix(only.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.may_read && self.only_in.as_ref().is_none_or(is_in)
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

/// Where it is said so that a refusal is late: PBS makes guessing slow.
pub(crate) async fn refuse(pbs: &Pbs, text: &str) -> Play {
    Tally::add(&pbs.tally.refused, 1);
    tokio::time::sleep(pbs.options.refusal_delay).await;
    Play::text(401, text)
}

/// Answers `POST /api2/json/access/ticket`.
pub(crate) async fn login(pbs: &Pbs, body: &[u8]) -> Play {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let (Some(id), Some(password)) = (request["username"].as_str(), request["password"].as_str())
    else {
        let text = "parameter verification failed - 'username': parameter is missing and it is not optional.";
        return Play::text(400, text);
    };
    let account = pbs.options.accounts.by_id.get(id);
    let is_renewal = lock(&pbs.tickets)
        .get(password)
        .is_some_and(|owner| owner == id);
    // A token can't sign in: it has no tickets.
    let account =
        account.filter(|account| !id.contains('!') && (is_renewal || account.password == password));
    let Some(account) = account else {
        return refuse(pbs, "permission check failed.").await;
    };
    Tally::add(&pbs.tally.logins, 1);
    let number = pbs.tickets_made.fetch_add(1, Ordering::Relaxed);
    let needs_more = account.has_second_factor && !is_renewal;
    // A real ticket ends in a signature in base64, so it has characters that a careless client would encode or cut.
    let ticket = if needs_more {
        format!("PBS:!tfa!%7B%22totp%22%3Atrue%7D:6666D{number:03X}::bm8+c2/n==")
    } else {
        format!("PBS:{id}:6666D{number:03X}::c2ln+bmF0/dXJl{number}==")
    };
    if !needs_more {
        lock(&pbs.tickets).insert(ticket.clone(), id.to_owned());
    }
    let mut data = json!({
        "username": id,
        "CSRFPreventionToken": format!("6666D{number:03X}:Y3NyZg+/=="),
    });
    if pbs.options.has_host_cookie && !needs_more {
        data["ticket-info"] = json!(format!("PBS:{id}:6666D{number:03X}"));
        let cookie =
            format!("__Host-PBSAuthCookie={ticket}; Secure; SameSite=Lax; HttpOnly; Path=/");
        return json_answer(data).header("set-cookie", cookie);
    }
    data["ticket"] = json!(ticket);
    json_answer(data)
}

/// An answer as PBS's API gives it.
pub(crate) fn json_answer(data: Value) -> Play {
    let body = json!({ "data": data }).to_string();
    Play::text(200, body).header("content-type", "application/json;charset=UTF-8")
}

/// Who asks, or why that is not known.
pub(crate) fn authenticate<'a>(pbs: &'a Pbs, headers: &HeaderMap) -> Result<&'a Account, String> {
    let failed = |why: &str| format!("authentication failed - {why}");
    let id = match headers.get(AUTHORIZATION).map(|value| value.to_str()) {
        Some(Ok(value)) => {
            return by_token(pbs, value).ok_or_else(|| failed("invalid credentials."));
        }
        Some(Err(_)) => return Err(failed("the header is no text.")),
        None => {
            by_cookie(pbs, headers).ok_or_else(|| failed("invalid ticket - expired or unknown"))?
        }
    };
    let account = pbs.options.accounts.by_id.get(&id);
    account.ok_or_else(|| failed("no such user."))
}

fn by_token<'a>(pbs: &'a Pbs, value: &str) -> Option<&'a Account> {
    let value = value.strip_prefix("PBSAPIToken")?;
    let value = value.strip_prefix(['=', ' '])?;
    let (id, secret) = value.split_once(':')?;
    let account = pbs.options.accounts.by_id.get(id)?;
    (id.contains('!') && account.password == percent_decoded(secret)).then_some(account)
}

fn by_cookie(pbs: &Pbs, headers: &HeaderMap) -> Option<String> {
    let name = if pbs.options.has_host_cookie {
        "__Host-PBSAuthCookie"
    } else {
        "PBSAuthCookie"
    };
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    let mut cookies = cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='));
    let (_, ticket) = cookies.find(|(key, _)| *key == name)?;
    let tickets = lock(&pbs.tickets);
    let owner = tickets
        .get(ticket)
        .or_else(|| tickets.get(&percent_decoded(ticket)));
    owner.cloned()
}
