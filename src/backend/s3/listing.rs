//! What is in a datastore, by the keys of its objects. Knows nothing of signatures.

use std::collections::BTreeMap;

use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response};

use crate::backend::http::Client;
use crate::backend::retry::Retry;
use crate::backend::s3::{Store, folder_of};
use crate::backend::{FetchError, SnapshotInfo};
use crate::error::{Error, ErrorKind};
use crate::format::name::{BackupType, GroupName, Namespace, SnapshotName};

/// A page names 1,000 keys of at most 1,024 bytes, each of which takes three when it is encoded, and says some hundred
/// bytes more of each.
const MAX_PAGE: u64 = 8 << 20;

/// Pages of one listing: those of a million snapshots.
const MAX_PAGES: usize = 10_000;

const MANIFEST: &str = "index.json.blob";

/// The object that tells that a snapshot is not to be pruned.
const PROTECTED: &str = ".protected";

/// Lists with one client.
pub(super) struct Lister<'a> {
    pub(super) store: &'a Store,
    pub(super) client: Client,
    pub(super) retry: &'a Retry,
}

impl Lister<'_> {
    /// Lists the files of all snapshots, since only that tells the finished ones, and a page holds those of more than a
    /// hundred snapshots: to list the folders first would take a request for each.
    pub(super) fn snapshots(
        &mut self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        let folder = folder_of(namespace);
        let below = match group {
            Some(group) => vec![format!("{folder}{group}/")],
            None => [BackupType::Vm, BackupType::Ct, BackupType::Host]
                .map(|backup_type| format!("{folder}{backup_type}/"))
                .to_vec(),
        };
        let mut found = BTreeMap::new();
        for prefix in below {
            self.pages(&prefix, None, |page, start| {
                let keys = page.contents.iter().map(|content| &content.key);
                for path in keys.filter_map(|key| key.strip_prefix(start)?.strip_prefix(&folder)) {
                    // What is not named like a snapshot is not one: the file `owner`, for instance.
                    if let Some((name, file)) = path.rsplit_once('/')
                        && let Ok(name) = name.parse::<SnapshotName>()
                    {
                        let (is_finished, is_protected): &mut (bool, bool) =
                            found.entry(name).or_default();
                        *is_finished |= file == MANIFEST;
                        *is_protected |= file == PROTECTED;
                    }
                }
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
        let below = format!("{}ns/", folder_of(parent));
        let mut names = Vec::new();
        self.pages(&below, Some("/"), |page, start| {
            for folder in &page.common_prefixes {
                let name = (folder.prefix.strip_prefix(start))
                    .and_then(|path| path.strip_prefix(&below)?.strip_suffix('/'));
                // What has a name that no namespace can have is none that could be asked for.
                names.extend(name.and_then(|name| parent.child(name).ok()));
            }
        })?;
        if names.is_empty() {
            self.check(parent)?;
        }
        Ok(names)
    }

    /// # Errors
    /// [`FetchError::Fatal`] with [`ErrorKind::NotFound`] where the bucket has nothing of the datastore.
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

    /// A folder is there if anything is in it.
    fn check(&mut self, namespace: &Namespace) -> Result<(), FetchError> {
        self.check_datastore()?;
        if namespace.is_root() || self.has_any(&folder_of(namespace))? {
            return Ok(());
        }
        Err(FetchError::Missing)
    }

    fn has_any(&mut self, folder: &str) -> Result<bool, FetchError> {
        let prefix = format!("{}{folder}", self.store.prefix);
        let mut action = self.action(&prefix);
        action.with_max_keys(1);
        Ok(!self.page(&action)?.contents.is_empty())
    }

    /// Shows all pages of a listing, each with what all keys of the datastore begin with.
    fn pages(
        &mut self,
        folder: &str,
        delimiter: Option<&str>,
        mut see: impl FnMut(&ListObjectsV2Response, &str),
    ) -> Result<(), FetchError> {
        let prefix = format!("{}{folder}", self.store.prefix);
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let mut action = self.action(&prefix);
            if let Some(delimiter) = delimiter {
                action.with_delimiter(delimiter.to_owned());
            }
            if let Some(token) = &token {
                action.with_continuation_token(String::clone(token));
            }
            let page = self.page(&action)?;
            see(&page, &self.store.prefix);
            match page.next_continuation_token {
                None => return Ok(()),
                next if next == token => return Err(no_listing("it continues at itself")),
                next => token = next,
            }
        }
        Err(no_listing("it does not come to an end"))
    }

    fn action<'b>(&self, prefix: &'b str) -> ListObjectsV2<'b>
    where
        Self: 'b,
    {
        let mut action = self
            .store
            .bucket
            .list_objects_v2(Some(&self.store.credentials));
        action.with_prefix(prefix);
        action
    }

    fn page(&mut self, action: &ListObjectsV2<'_>) -> Result<ListObjectsV2Response, FetchError> {
        let (store, client) = (self.store, &mut self.client);
        let read = (self.retry).run(|| store.get(client, action)?.read(MAX_PAGE));
        let bytes = read.map_err(|error| match error {
            FetchError::Missing => no_listing("nothing is there; is the endpoint right?"),
            error => error,
        })?;
        let text = String::from_utf8(bytes).map_err(no_listing)?;
        ListObjectsV2::parse_response(&text).map_err(|error| no_listing(format!("{error}")))
    }
}

fn no_listing(cause: impl Into<crate::error::BoxError>) -> FetchError {
    let message = "the server's answer is not a listing";
    FetchError::Fatal(
        Error::new(ErrorKind::Unavailable, message)
            .because(cause)
            .into(),
    )
}
