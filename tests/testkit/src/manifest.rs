//! Manifests, signed or not. Knows nothing of the files that it lists but what it is told.

use serde_json::{Map, Value, json};

use crate::blob::encode_auto;
use crate::key::{TestKey, hex};

/// How an archive is protected, as a manifest says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CryptMode {
    /// Not at all.
    None,
    /// Encrypted chunks, signed manifest.
    Encrypt,
    /// Plain chunks, signed manifest.
    SignOnly,
}

impl CryptMode {
    /// The word in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            CryptMode::None => "none",
            CryptMode::Encrypt => "encrypt",
            CryptMode::SignOnly => "sign-only",
        }
    }
}

/// A file that a manifest lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its name on the server, such as `drive-scsi0.img.fidx`.
    pub name: String,
    /// How it is protected.
    pub crypt_mode: CryptMode,
    /// Bytes of the archive; of a blob, as stored.
    pub size: u64,
    /// The csum of the index; of a blob, SHA-256 as stored.
    pub csum: [u8; 32],
}

/// A manifest in the making.
#[derive(Clone, Debug)]
pub struct Manifest {
    snapshot: String,
    files: Vec<ManifestFile>,
    key: Option<TestKey>,
    unprotected: Map<String, Value>,
}

impl Manifest {
    /// The manifest of a snapshot such as `vm/100/2026-01-02T03:04:05Z`, so far without files.
    pub fn new(snapshot: &str) -> Manifest {
        Manifest {
            snapshot: snapshot.to_owned(),
            files: Vec::new(),
            key: None,
            unprotected: Map::new(),
        }
    }

    /// Lists a file.
    pub fn file(mut self, file: ManifestFile) -> Manifest {
        self.files.push(file);
        self
    }

    /// Signs it with this key, and says the key's fingerprint.
    pub fn signed(mut self, key: &TestKey) -> Manifest {
        self.key = Some(key.clone());
        self.unprotected("key-fingerprint", json!(key.fingerprint()))
    }

    /// A member that no signature covers, such as notes.
    pub fn unprotected(mut self, name: &str, value: Value) -> Manifest {
        self.unprotected.insert(name.to_owned(), value);
        self
    }

    /// The JSON. A test that wants a wrong one changes it, and encodes it as a blob.
    pub fn json(&self) -> Value {
        let parts: Vec<&str> = self.snapshot.split('/').collect();
        let [kind, id, time] = parts[..] else {
            panic!("{} is not type/id/time", self.snapshot)
        };
        let file = |file: &ManifestFile| {
            json!({
                "filename": file.name,
                "crypt-mode": file.crypt_mode.name(),
                "size": file.size,
                "csum": hex(&file.csum),
            })
        };
        let mut manifest = json!({
            "backup-type": kind,
            "backup-id": id,
            "backup-time": unix_time(time),
            "files": self.files.iter().map(file).collect::<Vec<Value>>(),
        });
        let signature = (self.key.as_ref()).map(|key| key.sign(canonical(&manifest).as_bytes()));
        manifest["signature"] = json!(signature.map(|signature| hex(&signature)));
        manifest["unprotected"] = Value::Object(self.unprotected.clone());
        manifest
    }

    /// The content of `index.json.blob`.
    pub fn blob(&self) -> Vec<u8> {
        encode_auto(self.json().to_string().as_bytes(), None)
    }
}

/// The text that is signed: members by name, no white space.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let member =
                |(name, value): (&String, &Value)| format!("{}:{}", json!(name), canonical(value));
            let members: Vec<String> = members.into_iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        Value::Null => panic!("a signed manifest has no null"),
        other => other.to_string(),
    }
}

/// Seconds since 1970 of a time such as `2026-01-02T03:04:05Z`.
///
/// # Panics
/// It is no such time.
pub fn unix_time(time: &str) -> i64 {
    let is_separator = |c: char| !c.is_ascii_digit();
    let numbers: Vec<i64> = (time.strip_suffix('Z').expect("the time is UTC"))
        .split(is_separator)
        .map(|number| number.parse().expect("a time consists of numbers"))
        .collect();
    let [year, month, day, hour, minute, second] = numbers[..] else {
        panic!("{time} is not a date and a time")
    };
    // Years that begin in March have their leap day at the end, so that it shifts no month.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_right_around_leap_days() {
        for (time, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2024-03-01T00:00:00Z", 1_709_251_200),
            ("2026-01-02T03:04:05Z", 1_767_323_045),
        ] {
            assert_eq!(unix_time(time), seconds, "{time}");
        }
    }

    #[test]
    fn signature_is_that_of_the_test_vector() {
        let params = scrypt::Params::new(16, 8, 1).expect("PBS's parameters");
        let mut bytes = [0; 32];
        scrypt::scrypt(b"test", b"", &params, &mut bytes).expect("32 bytes can be derived");
        let file = |name: &str, csum, crypt_mode| ManifestFile {
            name: name.to_owned(),
            crypt_mode,
            size: 200,
            csum,
        };
        let manifest = Manifest::new("host/elsa/2020-06-26T13:56:05Z")
            .file(file("test1.img.fidx", [1; 32], CryptMode::Encrypt))
            .file(file("abc.blob", [2; 32], CryptMode::None))
            .unprotected("notes", json!("not signed"))
            .signed(&TestKey::from_bytes(bytes));
        assert_eq!(
            manifest.json()["signature"],
            "d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9"
        );
    }
}
