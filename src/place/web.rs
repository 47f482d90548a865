//! Parses the URL of a place or of an S3 server, and takes the credentials out of it.

use url::Url;

use crate::error::{Error, Result};
use crate::place::address::{Address, User};

/// Reads `scheme://[user[:password]@]host[:port][/path]`. Returns the URL without the user, and the
/// user, whose password may hold any character.
///
/// # Errors
/// For any other text, the error that `invalid` makes. That error must not show the text.
pub(crate) fn parse_url(text: &str, invalid: impl Fn() -> Error) -> Result<(Url, Option<User>)> {
    let (scheme, rest) = text.split_once("://").ok_or_else(&invalid)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = Address::parse(place).ok_or_else(&invalid)?.user;
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    // The crate `url` would silently take out some of these characters.
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '\\');
    if path.contains(is_odd) {
        return Err(invalid());
    }
    let url = Url::parse(&format!("{scheme}://{place}/{path}"));
    Ok((url.map_err(|error| invalid().because(error))?, user))
}
