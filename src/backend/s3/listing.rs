//! Lists the content of a datastore by the keys of its objects.

use std::collections::{BTreeMap, HashSet};

use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response};
use rusty_s3::{Bucket, Credentials, S3Action};
use url::Url;

use crate::backend::http::{Client, Want};
use crate::backend::retry::Retry;
use crate::backend::s3::{EXPIRY, Store, key_of};
use crate::backend::{FetchError, SnapshotInfo, layout};
use crate::digest::Digest;
use crate::error::{BoxError, Error, ErrorKind};
use crate::format::name::{GroupName, Namespace};

/// The most bytes of one page. A page names 1,000 keys of at most 1,024 bytes. Each byte takes
/// three when it is encoded, and each key comes with some hundred bytes about its object.
const MAX_PAGE: u64 = 8 << 20;

/// The most tags of one page. A page of 1,000 keys has some 30,000 tags. Each tag takes memory when
/// it is parsed, much more than its text.
const MAX_TAGS: usize = 100_000;

/// The most pages of one listing: enough for a million snapshots.
const MAX_PAGES: usize = 10_000;

/// The most snapshots or namespaces of one listing.
const MAX_FOUND: usize = 1_000_000;

/// The most bytes of a continuation token. Servers send tokens of some hundred bytes.
const MAX_TOKEN: usize = 8 << 10;

/// Makes listings with one client.
pub(super) struct Lister<'a> {
    pub(super) store: &'a Store,
    pub(super) client: Client,
    pub(super) retry: &'a Retry,
}

impl Lister<'_> {
    /// Lists the files of all snapshots, since only the files tell which snapshots are finished.
    /// One page holds the files of more than a hundred snapshots, while listing the folders first
    /// would take a request for each.
    pub(super) fn snapshots(
        &mut self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        let folder = key_of(&layout::namespace(namespace));
        let below = match group {
            Some(group) => vec![layout::group(namespace, group)],
            None => layout::BACKUP_TYPES
                .map(|backup_type| layout::groups(namespace, backup_type))
                .to_vec(),
        };
        let mut found = BTreeMap::new();
        for prefix in below {
            self.pages(&key_of(&prefix), None, |page, start| {
                let keys = page.contents.iter().map(|content| &content.key);
                for path in keys.filter_map(|key| key.strip_prefix(start)?.strip_prefix(&folder)) {
                    // A key that is not named like a snapshot's file belongs to none: the file
                    // `owner`, for instance.
                    if let Some((name, file)) = layout::parse_file(path) {
                        let (is_finished, is_protected): &mut (bool, bool) =
                            found.entry(name).or_default();
                        *is_finished |= file == layout::MANIFEST;
                        *is_protected |= file == layout::PROTECTED;
                    }
                }
                found.len()
            })?;
        }
        if found.is_empty() {
            self.check(namespace)?;
        }
        let info = |(name, (is_finished, is_protected))| {
            let mut info = SnapshotInfo::new(name, is_finished);
            info.is_protected = Some(is_protected);
            info
        };
        Ok(found.into_iter().map(info).collect())
    }

    pub(super) fn namespaces(&mut self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        let below = key_of(&layout::namespaces(parent));
        let mut names = Vec::new();
        self.pages(&below, Some("/"), |page, start| {
            for folder in &page.common_prefixes {
                let name = (folder.prefix.strip_prefix(start))
                    .and_then(|path| path.strip_prefix(&below)?.strip_suffix('/'));
                // Nobody could ask for an entry whose name no namespace can have, so such an entry
                // is left out.
                names.extend(name.and_then(|name| parent.child(name).ok()));
            }
            names.len()
        })?;
        if names.is_empty() {
            self.check(parent)?;
        }
        Ok(names)
    }

    /// # Errors
    /// [`FetchError::Fatal`] with [`ErrorKind::NotFound`] if the bucket has no object of the
    /// datastore.
    pub(super) fn check_datastore(&mut self) -> Result<(), FetchError> {
        if self.has_any("")? {
            return Ok(());
        }
        let bucket = self.store.bucket.name();
        let store = self.store.prefix.trim_end_matches('/');
        let message = format!("there is no datastore {store} in the bucket {bucket}");
        Err(FetchError::Fatal(
            Error::new(ErrorKind::NotFound, message).into(),
        ))
    }

    /// Checks that a namespace exists: its folder exists if there is any object in it.
    fn check(&mut self, namespace: &Namespace) -> Result<(), FetchError> {
        self.check_datastore()?;
        if namespace.is_root() || self.has_any(&key_of(&layout::namespace(namespace)))? {
            return Ok(());
        }
        Err(FetchError::Missing)
    }

    fn has_any(&mut self, folder: &str) -> Result<bool, FetchError> {
        let prefix = format!("{}{folder}", self.store.prefix);
        let mut request = PageRequest::new(&prefix);
        request.keys_max = Some(1);
        Ok(!self.page(&request)?.contents.is_empty())
    }

    /// Passes all pages of a listing to `see`, each with the prefix of all keys of the datastore.
    /// `see` returns how many entries were found so far.
    fn pages(
        &mut self,
        folder: &str,
        delimiter: Option<&str>,
        mut see: impl FnMut(&ListObjectsV2Response, &str) -> usize,
    ) -> Result<(), FetchError> {
        let prefix = format!("{}{folder}", self.store.prefix);
        let mut token: Option<String> = None;
        // The set holds digests of the tokens, since a token is as long as the server likes.
        let mut tokens = HashSet::new();
        for _ in 0..MAX_PAGES {
            let mut request = PageRequest::new(&prefix);
            request.delimiter = delimiter;
            request.token = token.as_deref();
            let page = self.page(&request)?;
            if see(&page, &self.store.prefix) > MAX_FOUND {
                return Err(self.no_listing(format!("it names more than {MAX_FOUND}")));
            }
            let Some(next) = page.next_continuation_token else {
                return Ok(());
            };
            if next.len() > MAX_TOKEN {
                return Err(self.no_listing("its continuation token has no end"));
            }
            if !tokens.insert(Digest::of(next.as_bytes())) {
                return Err(self.no_listing("it goes round in circles"));
            }
            token = Some(next);
        }
        Err(self.no_listing("it does not come to an end"))
    }

    fn no_listing(&self, cause: impl Into<BoxError>) -> FetchError {
        NoListing::new(cause).of(&self.store.bucket)
    }

    fn page(&mut self, request: &PageRequest<'_>) -> Result<ListObjectsV2Response, FetchError> {
        let (store, client) = (self.store, &mut self.client);
        self.retry.run(|| {
            let sign = |with: &Credentials| request.sign(&store.bucket, with);
            let mut answer = store.get(client, sign, Want::File)?;
            let bytes = answer.read_any(MAX_PAGE).map_err(|error| match error {
                FetchError::TooLong => NoListing::new(error).of(&store.bucket),
                error => error,
            })?;
            parse(&bytes).map_err(|error| {
                let error = answer.page(&bytes).map_or(error, NoListing::new);
                let error = error.of(&store.bucket);
                // A refusal can come with status 200.
                store.sort(answer.refused(error, bytes))
            })
        })
    }
}

/// A request for a page of a listing.
struct PageRequest<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// Where the page before it ended, as the server says.
    token: Option<&'a str>,
    keys_max: Option<usize>,
}

impl<'a> PageRequest<'a> {
    fn new(prefix: &'a str) -> PageRequest<'a> {
        PageRequest {
            prefix,
            delimiter: None,
            token: None,
            keys_max: None,
        }
    }

    fn sign(&self, bucket: &Bucket, credentials: &Credentials) -> Url {
        let mut action = bucket.list_objects_v2(Some(credentials));
        action.with_prefix(self.prefix);
        if let Some(delimiter) = self.delimiter {
            action.with_delimiter(delimiter);
        }
        if let Some(token) = self.token {
            action.with_continuation_token(token);
        }
        if let Some(keys) = self.keys_max {
            action.with_max_keys(keys);
        }
        action.sign(EXPIRY)
    }
}

/// Parses a page, if the whole text is one. A text that was cut off, wherever, may come whole on
/// another try.
fn parse(bytes: &[u8]) -> Result<ListObjectsV2Response, NoListing> {
    let text = std::str::from_utf8(bytes).map_err(NoListing::new)?;
    // The parser takes a listing that ends after any entry for a whole one.
    if !is_whole(text) {
        return Err(NoListing {
            cause: "it is cut, or no listing at all".into(),
            may_pass: true,
        });
    }
    if text.bytes().filter(|byte| *byte == b'<').count() > MAX_TAGS {
        return Err(NoListing::new("a page of it names more than it may"));
    }
    ListObjectsV2::parse_response(text).map_err(|error| NoListing::new(error.to_string()))
}

/// Whether a text ends as a listing ends. A name in the listing can't look like this end.
fn is_whole(text: &str) -> bool {
    let end = (text.trim_end().strip_suffix('>')).and_then(|text| text.rsplit_once("</"));
    end.is_some_and(|(_, name)| {
        let name = name.trim_end();
        name.split_once(':').map_or(name, |(_, name)| name) == "ListBucketResult"
    })
}

/// Why an answer is no listing, and whether another try may bring one.
struct NoListing {
    cause: BoxError,
    may_pass: bool,
}

impl NoListing {
    fn new(cause: impl Into<BoxError>) -> NoListing {
        NoListing {
            cause: cause.into(),
            may_pass: false,
        }
    }

    fn of(self, bucket: &Bucket) -> FetchError {
        let host = bucket.base_url().authority();
        let message = format!("the answer of {host} is not a listing");
        let error = Error::new(ErrorKind::Unavailable, message).because(self.cause);
        match self.may_pass {
            true => FetchError::transient(error),
            false => FetchError::Fatal(error.into()),
        }
    }
}
