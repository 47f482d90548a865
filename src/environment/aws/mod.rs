//! Settings for S3 from the environment: from variables and from the two files of Amazon's own
//! tools, in the order in which those tools read them.

mod file;

use std::path::{Path, PathBuf};

use rusty_s3::Credentials;
use zeroize::Zeroizing;

use crate::environment::aws::file::Section;
use crate::environment::set;
use crate::error::{Error, ErrorKind, Result};

/// The settings for S3 that were found. Each is `None` where nothing sets it.
#[derive(Debug, Default)]
pub(crate) struct Aws {
    pub(crate) credentials: Option<Credentials>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

/// A profile with one of these settings has credentials that must be fetched from a service. These
/// settings take precedence over keys in the profile.
const IDENTITIES: [&str; 6] = [
    "role_arn",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "login_session",
];

/// Variables that name other sources of credentials, which Amazon's tools use where there are no
/// credentials.
const OTHER_SOURCES: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Reads the settings. For credentials, the order of precedence is: the profile that `profile`
/// names, the credentials in variables, the profile that AWS_PROFILE names, and the profile
/// `default`. For region and endpoint, variables take precedence.
///
/// # Errors
/// [`ErrorKind::Invalid`] where only one half of the credentials is set, for a named profile that
/// is in no file, and for a file that can't be read; [`ErrorKind::Denied`] for a profile that gets
/// its credentials in a way that is not supported. There are no errors about credentials where none
/// are wanted.
pub(crate) fn aws(profile: Option<&str>, wants_credentials: bool) -> Result<Aws> {
    let variables = match profile {
        None if wants_credentials => from_variables()?,
        _ => None,
    };
    let named = profile.map(str::to_owned).or_else(|| text("AWS_PROFILE"));
    let files = match Files::read() {
        // The files are not needed, so it does not matter that they can't be read.
        Err(_) if variables.is_some() => Files::default(),
        files => files?,
    };
    let profile = Profile::find(&files, named.as_deref().unwrap_or("default"));
    if named.is_some() && variables.is_none() && !profile.is_there() {
        return Err(profile.invalid("is not there"));
    }
    let credentials = match variables {
        None if wants_credentials => profile.credentials()?,
        variables => variables,
    };
    if credentials.is_none() && wants_credentials {
        check_other_sources()?;
    }
    let first = |names: [&str; 2]| names.into_iter().find_map(text);
    let is_true = |text: &str| text.eq_ignore_ascii_case("true");
    let ignores_endpoints = match text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        Some(text) => is_true(&text),
        None => (profile.value("ignore_configured_endpoint_urls")).is_some_and(is_true),
    };
    let endpoint = || {
        let of_profile = || profile.endpoint().map(str::to_owned);
        first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).or_else(of_profile)
    };
    Ok(Aws {
        credentials,
        region: first(["AWS_REGION", "AWS_DEFAULT_REGION"])
            .or_else(|| profile.value("region").map(str::to_owned)),
        endpoint: match ignores_endpoints {
            true => None,
            false => endpoint(),
        },
    })
}

/// The texts of the credentials file and the config file.
#[derive(Default)]
struct Files {
    credentials: Zeroizing<String>,
    config: Zeroizing<String>,
}

impl Files {
    fn read() -> Result<Files> {
        let read = |variable, name| {
            let path = path(variable, name);
            file::read(&path).map_err(|error| {
                let message = format!("cannot read the file {}", path.display());
                Error::new(ErrorKind::Invalid, message).because(error)
            })
        };
        Ok(Files {
            credentials: read(CREDENTIALS.0, CREDENTIALS.1)?,
            config: read(CONFIG.0, CONFIG.1)?,
        })
    }
}

/// For each file: the variable that names it, and its name in `~/.aws` where the variable is not
/// set.
const CREDENTIALS: (&str, &str) = ("AWS_SHARED_CREDENTIALS_FILE", "credentials");
const CONFIG: (&str, &str) = ("AWS_CONFIG_FILE", "config");

fn path(variable: &str, name: &str) -> PathBuf {
    let home = || PathBuf::from(set("HOME").unwrap_or_default());
    match set(variable).map(PathBuf::from) {
        Some(path) => match path.strip_prefix("~") {
            Ok(below) => home().join(below),
            Err(_) => path,
        },
        None => home().join(".aws").join(name),
    }
}

/// The sections of both files about one profile. The credentials file takes precedence.
struct Profile<'a> {
    name: &'a str,
    credentials: Option<Section<'a>>,
    config: Option<Section<'a>>,
    services: Option<Section<'a>>,
}

impl<'a> Profile<'a> {
    fn find(files: &'a Files, name: &'a str) -> Profile<'a> {
        let in_config = |kind, name: &str| {
            Section::find(&files.config, |header| named(header, kind) == Some(name))
        };
        let credentials = Section::find(&files.credentials, |header| header == name);
        // The header of the default profile commonly lacks the word `profile`.
        let bare = || Section::find(&files.config, |header| header == name);
        let config = in_config("profile", name).or_else(|| bare().filter(|_| name == "default"));
        let services = config.as_ref().and_then(|config| config.value("services"));
        Profile {
            name,
            services: services.and_then(|name| in_config("services", name)),
            credentials,
            config,
        }
    }

    fn is_there(&self) -> bool {
        self.credentials.is_some() || self.config.is_some()
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let sections = [&self.credentials, &self.config].into_iter().flatten();
        sections.filter_map(|section| section.value(name)).next()
    }

    /// The endpoint of the profile. An endpoint for S3 alone takes precedence.
    fn endpoint(&self) -> Option<&'a str> {
        let services = self.services.as_ref();
        let of_s3 = services.and_then(|services| services.nested("s3", "endpoint_url"));
        of_s3.or_else(|| self.value("endpoint_url"))
    }

    /// The credentials of the profile, in the order of Amazon's tools: an identity whose
    /// credentials are fetched, the credentials file, a command, the config file.
    fn credentials(&self) -> Result<Option<Credentials>> {
        if let Some(setting) = IDENTITIES.iter().find(|name| self.value(name).is_some()) {
            return Err(self.unsupported(setting));
        }
        let of_file = |section: &Option<Section<'a>>| {
            let section = section.as_ref();
            let value = |name| {
                section
                    .and_then(|section| section.value(name))
                    .map(str::to_owned)
            };
            let token = value("aws_session_token").or_else(|| value("aws_security_token"));
            pair(
                value("aws_access_key_id"),
                value("aws_secret_access_key"),
                token,
            )
            .ok_or_else(|| self.invalid("has only one half of credentials"))
        };
        match of_file(&self.credentials)? {
            Some(credentials) => Ok(Some(credentials)),
            None if self.value("credential_process").is_some() => {
                Err(self.unsupported("credential_process"))
            }
            None => of_file(&self.config),
        }
    }

    fn unsupported(&self, setting: &str) -> Error {
        let name = self.name.escape_debug();
        let message = format!(
            "the profile {name} gets its credentials by {setting}, which is not supported here; set those that `aws \
             configure export-credentials --profile {name} --format env` prints"
        );
        Error::new(ErrorKind::Denied, message)
    }

    fn invalid(&self, what: &str) -> Error {
        let name = self.name.escape_debug();
        let [credentials, config] =
            [CREDENTIALS, CONFIG].map(|(variable, name)| path(variable, name));
        let both = |one: &Path, other: &Path| format!("{} and {}", one.display(), other.display());
        let message = format!(
            "the profile {name} of {} {what}",
            both(&credentials, &config)
        );
        Error::new(ErrorKind::Invalid, message)
    }
}

/// The name in a header such as `profile NAME`. The name may be quoted.
fn named<'h>(header: &'h str, kind: &str) -> Option<&'h str> {
    let name = header.strip_prefix(kind)?.strip_prefix([' ', '\t'])?.trim();
    let unquoted = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    Some(unquoted('"').or_else(|| unquoted('\'')).unwrap_or(name))
}

fn from_variables() -> Result<Option<Credentials>> {
    let (key, secret) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY"));
    let token = text("AWS_SESSION_TOKEN").or_else(|| text("AWS_SECURITY_TOKEN"));
    pair(key, secret, token).ok_or_else(|| {
        let message =
            "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set, and only both are any use";
        Error::new(ErrorKind::Invalid, message)
    })
}

/// Fails where a variable names another source of credentials, since those sources are not
/// supported.
fn check_other_sources() -> Result<()> {
    let Some(variable) = OTHER_SOURCES.into_iter().find(|name| text(name).is_some()) else {
        return Ok(());
    };
    let message = format!(
        "the credentials for S3 are to be got by {variable}, which is not supported here; set AWS_ACCESS_KEY_ID, \
         AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
    );
    Err(Error::new(ErrorKind::Denied, message))
}

/// Makes credentials; `None` where only one half of them is there.
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

/// The text of a variable, where it has any.
fn text(name: &str) -> Option<String> {
    let text = Zeroizing::new(set(name)?.into_string().ok()?);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(credentials: &str, config: &str) -> Files {
        Files {
            credentials: Zeroizing::new(credentials.to_owned()),
            config: Zeroizing::new(config.to_owned()),
        }
    }

    fn keys(name: &str) -> String {
        format!("aws_access_key_id = {name}\naws_secret_access_key = secret\n")
    }

    /// The ID of the access key, or the error where there is none.
    fn key(files: &Files, profile: &str) -> String {
        match Profile::find(files, profile).credentials() {
            Ok(credentials) => credentials.map_or_else(String::new, |found| found.key().to_owned()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_credentials_file_comes_before_the_other() {
        let both = files(
            &format!("[a]\n{}", keys("1")),
            &format!(
                "[profile a]\n{}region = r\n[profile \"b c\"]\n{}[a]\n[b c]\n",
                keys("2"),
                keys("3")
            ),
        );
        assert_eq!(key(&both, "a"), "1");
        assert_eq!(Profile::find(&both, "a").value("region"), Some("r"));
        assert_eq!(key(&both, "b c"), "3");
        assert!(!Profile::find(&both, "b").is_there());
        let bare = format!("[default]\n{}", keys("4"));
        assert_eq!(key(&files("", &bare), "default"), "4");
        let both = bare + &format!("[profile default]\n{}", keys("5"));
        assert_eq!(key(&files("", &both), "default"), "5");
    }

    #[test]
    fn an_endpoint_for_s3_alone_comes_first() {
        let config = "[profile a]\nservices = own\nendpoint_url = http://all\n[services own]\n\
                      dynamodb =\n  endpoint_url = http://other\ns3 =\n  endpoint_url = http://s3\n";
        let endpoint = |config: &str| {
            let files = files("", config);
            let endpoint = Profile::find(&files, "a").endpoint().map(str::to_owned);
            endpoint.unwrap_or_default()
        };
        assert_eq!(endpoint(config), "http://s3");
        assert_eq!(endpoint(&config.replace("s3 =", "ec2 =")), "http://all");
        assert_eq!(endpoint(&config.replace("= own", "= lost")), "http://all");
    }

    #[test]
    fn what_is_not_supported_is_named_and_half_of_the_credentials_is_not_none() {
        for setting in IDENTITIES {
            let config = format!("[profile a]\n{setting} = x\n");
            let said = key(&files(&format!("[a]\n{}", keys("1")), &config), "a");
            assert!(said.contains(&format!("by {setting}, ")), "{said}");
        }
        let process = format!("[profile a]\ncredential_process = x\n{}", keys("2"));
        assert!(key(&files("", &process), "a").contains("credential_process"));
        assert_eq!(
            key(&files(&format!("[a]\n{}", keys("1")), &process), "a"),
            "1"
        );
        let half = files("[a]\naws_access_key_id = 1\n", "");
        assert!(key(&half, "a").contains("only one half"));
    }
}
