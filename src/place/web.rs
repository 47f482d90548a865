//! The URL of a place or of an S3 server, with the credentials taken out. Knows no scheme.

use url::Url;

use crate::error::{Error, Result};
use crate::place::address::{Address, User};

/// Reads `scheme://[user[:password]@]host[:port][/path]`. The URL is without the user, whose password may hold any
/// character.
///
/// # Errors
/// That of `invalid`, which must not show the text, for anything else.
pub(crate) fn parse_url(text: &str, invalid: impl Fn() -> Error) -> Result<(Url, Option<User>)> {
    let (scheme, rest) = text.split_once("://").ok_or_else(&invalid)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = Address::parse(place).ok_or_else(&invalid)?.user;
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    // The crate `url` would take out some of these characters without a word.
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '\\');
    if path.contains(is_odd) {
        return Err(invalid());
    }
    let url = Url::parse(&format!("{scheme}://{place}/{path}"));
    Ok((url.map_err(|error| invalid().because(error))?, user))
}
