//! What the environment says of S3: variables and the shared credentials file, as Amazon's own tools read them.

use std::io;
use std::path::PathBuf;

use rusty_s3::Credentials;
use zeroize::Zeroizing;

use crate::environment::{read_file, set};
use crate::error::{Error, ErrorKind, Result};

/// What is not said is `None`.
#[derive(Debug, Default)]
pub(crate) struct Aws {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

/// A profile that is named here comes before the credentials in variables, these come before the one that AWS_PROFILE
/// names, and `default` comes last. Region and endpoint come from variables first.
///
/// # Errors
/// [`ErrorKind::Invalid`] for one half of credentials, and for a named profile that is not in the file or a file that
/// can't be read.
pub(crate) fn aws(profile: Option<&str>) -> Result<Aws> {
    let credentials = match profile {
        None => from_variables()?,
        Some(_) => None,
    };
    let mut said = match credentials {
        None => {
            let named = profile.map(str::to_owned).or_else(|| text("AWS_PROFILE"));
            from_file(named.as_deref())?
        }
        credentials => Aws {
            credentials,
            ..Aws::default()
        },
    };
    let first = |names: [&str; 2]| names.into_iter().find_map(text);
    said.region = first(["AWS_REGION", "AWS_DEFAULT_REGION"]).or(said.region);
    said.endpoint = first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).or(said.endpoint);
    Ok(said)
}

fn from_variables() -> Result<Option<Credentials>> {
    let (key, secret) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY"));
    pair(key, secret, text("AWS_SESSION_TOKEN")).ok_or_else(|| {
        let message =
            "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set, and only both are any use";
        Error::new(ErrorKind::Invalid, message)
    })
}

/// `None` for one half of them.
fn pair(
    key: Option<String>,
    secret: Option<String>,
    token: Option<String>,
) -> Option<Option<Credentials>> {
    match (key, secret, token) {
        (Some(key), Some(secret), Some(token)) => {
            Some(Some(Credentials::new_with_token(key, secret, token)))
        }
        (Some(key), Some(secret), None) => Some(Some(Credentials::new(key, secret))),
        (None, None, _) => Some(None),
        _ => None,
    }
}

fn from_file(named: Option<&str>) -> Result<Aws> {
    let path = match set("AWS_SHARED_CREDENTIALS_FILE") {
        Some(path) => PathBuf::from(path),
        None => match set("HOME") {
            Some(home) => PathBuf::from(home).join(".aws/credentials"),
            None => PathBuf::new(),
        },
    };
    let profile = named.unwrap_or("default");
    let unusable = |what: &str| {
        let profile = profile.escape_debug();
        let message = format!("the profile {profile} of {} {what}", path.display());
        Error::new(ErrorKind::Invalid, message)
    };
    let file = match read_file(&path) {
        Ok(file) => file,
        // Nobody asked for it.
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Aws::default());
        }
        Err(error) => return Err(unusable("can't be read").because(error)),
    };
    match section(&file, profile) {
        Some(Some(said)) => Ok(said),
        Some(None) => Err(unusable("has only one half of credentials")),
        None if named.is_none() => Ok(Aws::default()),
        None => Err(unusable("is not there")),
    }
}

/// What a section of a credentials file says: the outer `None` where there is no such section, the inner one where
/// it has a key without a secret, or the other way round.
fn section(file: &str, profile: &str) -> Option<Option<Aws>> {
    let lines = file.lines().map(str::trim);
    let name = |line: &str| Some(line.strip_prefix('[')?.split(']').next()?.trim().to_owned());
    let mut lines = lines.skip_while(|line| name(line).as_deref() != Some(profile));
    lines.next()?;
    let lines = lines.take_while(|line| !line.starts_with('['));
    let settings: Vec<(&str, &str)> = lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let value = |wanted: &str| {
        let found = settings
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found
            .map(|(_, value)| (*value).to_owned())
            .filter(|value| !value.is_empty())
    };
    let credentials = pair(
        value("aws_access_key_id"),
        value("aws_secret_access_key"),
        value("aws_session_token"),
    );
    Some(credentials.map(|credentials| Aws {
        credentials,
        region: value("region"),
        endpoint: value("endpoint_url"),
    }))
}

/// A variable's text, where it has any.
fn text(name: &str) -> Option<String> {
    let text = Zeroizing::new(set(name)?.into_string().ok()?);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# comment = [default]
[other]
aws_access_key_id = AKIDOTHER
[default]
; aws_access_key_id = not this
AWS_Access_Key_ID=AKIDDEFAULT
aws_secret_access_key = a+b/c==
region = eu-west-1
[ team ]
aws_access_key_id = AKIDTEAM
aws_secret_access_key = secret
aws_session_token = token=
endpoint_url = http://localhost:9000
[default]
region = not this either
";

    #[test]
    fn a_profile_is_a_section_of_the_file() {
        let said = section(FILE, "default").flatten().expect("it is there");
        let credentials = said.credentials.expect("it has them");
        assert_eq!(
            (credentials.key(), credentials.secret()),
            ("AKIDDEFAULT", "a+b/c==")
        );
        assert_eq!(
            (said.region.as_deref(), said.endpoint),
            (Some("eu-west-1"), None)
        );
        let said = section(FILE, "team").flatten().expect("it is there");
        assert_eq!(said.endpoint.as_deref(), Some("http://localhost:9000"));
        assert_eq!(
            said.credentials.expect("it has them").token(),
            Some("token=")
        );
    }

    #[test]
    fn half_of_the_credentials_is_not_none_of_them() {
        assert!(section(FILE, "other").is_some_and(|said| said.is_none()));
        assert!(section(FILE, "nobody").is_none());
        let empty = section("[a]\n", "a").flatten().expect("it is there");
        assert!(empty.credentials.is_none());
    }
}
