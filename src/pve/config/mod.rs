//! Parses `storage.cfg`, in which Proxmox VE keeps its storages. Does no I/O.

use std::collections::BTreeMap;

use crate::digest::Fingerprint;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::Namespace;
use crate::place::{Repository, StorageName};

/// The type of storages whose backups lie on a Proxmox Backup Server.
const PBS: &str = "pbs";

/// The longest name of a type, in bytes. A line that begins with a longer one begins no section.
const TYPE_LEN: usize = 64;

/// The properties of a storage that are read. The others are passed over.
const PROPERTIES: [&str; 9] = [
    "server",
    "port",
    "datastore",
    "namespace",
    "username",
    "fingerprint",
    "encryption-key",
    "nodes",
    "disable",
];

/// The storages of a Proxmox VE node or cluster, as `storage.cfg` lists them.
///
/// ```
/// use chunk_restore::pve::Storages;
///
/// # fn main() -> chunk_restore::Result<()> {
/// let text = b"pbs: backup\n\tserver pbs.example.org\n\tdatastore store1\n\tusername pve@pbs!ci\n";
/// let storage = Storages::parse(text).get(&"backup".parse()?)?;
/// assert_eq!(storage.repository().to_string(), "pve@pbs!ci@pbs.example.org:8007:store1");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Storages {
    /// The sections by name. A name that has several can't be used.
    sections: BTreeMap<StorageName, Vec<Section>>,
}

/// A section of the file, which is about one storage.
#[derive(Clone, Debug)]
struct Section {
    kind: String,
    properties: BTreeMap<&'static str, String>,
    /// A property that the section has twice.
    repeated: Option<&'static str>,
}

/// A storage of Proxmox VE whose backups lie in a datastore of a Proxmox Backup Server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Storage {
    name: StorageName,
    repository: Repository,
    namespace: Namespace,
    fingerprint: Option<Fingerprint>,
    has_key: bool,
    nodes: Vec<String>,
    is_disabled: bool,
}

impl Storages {
    /// Reads the text of `storage.cfg`. A section begins with `TYPE: NAME` at the start of a line; its
    /// lines begin with white space. Sections of other types, comments, and all that is not a section
    /// are passed over.
    ///
    /// A storage that can't be used is no error before it is asked for.
    #[must_use]
    pub fn parse(text: &[u8]) -> Storages {
        let text = String::from_utf8_lossy(text);
        let mut sections: BTreeMap<StorageName, Vec<Section>> = BTreeMap::new();
        // The lines of a section without a usable header belong to no storage.
        let mut current: Option<&mut Section> = None;
        for line in text.trim_start_matches('\u{feff}').lines() {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if line.starts_with(char::is_whitespace) {
                if let Some(section) = &mut current {
                    section.take(content);
                }
                continue;
            }
            current = match header(content) {
                Some((kind, name)) => {
                    let named = sections.entry(name).or_default();
                    named.push(Section::new(kind));
                    named.last_mut()
                }
                None => None,
            };
        }
        Storages { sections }
    }

    /// The storage of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none: the message lists those that there are;
    /// [`ErrorKind::Invalid`] for a storage of another type, for a name that two storages have, and
    /// for a property that is missing or malformed.
    pub fn get(&self, name: &StorageName) -> Result<Storage> {
        match self.sections.get(name) {
            Some(sections) => storage(name, sections),
            None => Err(Error::new(ErrorKind::NotFound, self.lacks(name))),
        }
    }

    /// All storages of the type `pbs`, sorted by name; an error for each that can't be used.
    pub fn iter(&self) -> impl Iterator<Item = Result<Storage>> {
        self.of_pbs()
            .map(|(name, sections)| storage(name, sections))
    }

    fn of_pbs(&self) -> impl Iterator<Item = (&StorageName, &Vec<Section>)> {
        let sections = self.sections.iter();
        sections.filter(|(_, named)| named.iter().any(|section| section.kind == PBS))
    }

    fn lacks(&self, name: &StorageName) -> String {
        const FEW: usize = 8;
        let mut of_pbs = self.of_pbs().map(|(name, _)| name.as_str());
        let few = of_pbs.by_ref().take(FEW).collect::<Vec<_>>().join(", ");
        match (few.is_empty(), of_pbs.count()) {
            (true, _) => format!("there is no storage {name}, and none of the type pbs"),
            (_, 0) => format!("there is no storage {name}; of the type pbs there are: {few}"),
            (_, more) => format!(
                "there is no storage {name}; of the type pbs there are: {few} and {more} more"
            ),
        }
    }
}

/// The storage of a name, which has these sections.
fn storage(name: &StorageName, sections: &[Section]) -> Result<Storage> {
    match sections {
        [section] => section.storage(name),
        _ => Err(unusable(name, "storage.cfg has two of this name")),
    }
}

fn unusable(name: &StorageName, why: &str) -> Error {
    let message = format!("the storage {name} can't be used: {why}");
    Error::new(ErrorKind::Invalid, message)
}

/// The type and the name in the line that begins a section.
fn header(line: &str) -> Option<(&str, StorageName)> {
    let (kind, name) = line.split_once(':')?;
    let is_type = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let fits = !kind.is_empty() && kind.len() <= TYPE_LEN && kind.bytes().all(is_type);
    let name = name.trim().parse().ok()?;
    fits.then_some((kind, name))
}

impl Section {
    fn new(kind: &str) -> Section {
        Section {
            kind: kind.to_owned(),
            properties: BTreeMap::new(),
            repeated: None,
        }
    }

    /// Takes a line of the section: a property, then its value.
    fn take(&mut self, line: &str) {
        let (property, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let mut known = PROPERTIES.into_iter();
        let Some(property) = known.find(|known| *known == property) else {
            return;
        };
        let value = value.trim().to_owned();
        if self.properties.insert(property, value).is_some() {
            self.repeated = Some(property);
        }
    }

    fn storage(&self, name: &StorageName) -> Result<Storage> {
        let unusable = |why: &str| unusable(name, why);
        if self.kind != PBS {
            let why = format!("it is of the type {}, and not pbs", self.kind);
            return Err(unusable(&why));
        }
        if let Some(property) = self.repeated {
            return Err(unusable(&format!("its {property} is given twice")));
        }
        let lacks = |property: &str| unusable(&format!("it has no {property}"));
        let malformed = |property: &str| unusable(&format!("its {property} is malformed"));
        let server = self.get("server").ok_or_else(|| lacks("server"))?;
        let datastore = self.get("datastore").ok_or_else(|| lacks("datastore"))?;
        let port = match self.get("port").map(str::parse) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(malformed("port")),
        };
        let repository = Repository::of_parts(self.get("username"), server, port, datastore);
        let namespace = self.get("namespace").unwrap_or_default().parse();
        let fingerprint = self.get("fingerprint").map(str::parse).transpose();
        Ok(Storage {
            name: name.clone(),
            repository: repository.map_err(malformed)?,
            namespace: namespace.map_err(|error| malformed("namespace").because(error))?,
            fingerprint: fingerprint.map_err(|error| malformed("fingerprint").because(error))?,
            // Also without a value: a storage that is meant to have a key must not do without one.
            has_key: self.properties.contains_key("encryption-key"),
            nodes: self.nodes(),
            is_disabled: self.is_disabled(),
        })
    }

    /// The value of a property, if there is one that is not empty.
    fn get(&self, property: &str) -> Option<&str> {
        let value = self.properties.get(property)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn nodes(&self) -> Vec<String> {
        let nodes = self.get("nodes").unwrap_or_default();
        let nodes = nodes.split([',', ';', ' ', '\t']);
        let nodes = nodes.filter(|node| !node.is_empty());
        nodes.map(str::to_owned).collect()
    }

    /// A property without a value is a flag that is set.
    fn is_disabled(&self) -> bool {
        let value = self.properties.get("disable").map(String::as_str);
        value.is_some_and(|value| !["0", "no", "off", "false"].contains(&value))
    }
}

impl Storage {
    /// The name of the storage.
    #[must_use]
    pub fn name(&self) -> &StorageName {
        &self.name
    }

    /// The datastore, its server, and the identity to sign in with.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The namespace that the backups lie in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The fingerprint of the server's certificate. Without it, the system's root certificates must
    /// vouch for the server.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Whether the storage has a key, which new backups are encrypted with.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.has_key
    }

    /// The nodes of the cluster that use the storage; all of them if the list is empty.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Whether Proxmox VE itself makes no use of the storage. Its backups can be restored all the
    /// same.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.is_disabled
    }
}

#[cfg(test)]
mod tests;
