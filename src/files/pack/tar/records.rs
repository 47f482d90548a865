//! The records of a pax header: what the plain header of an entry has no field for.

use crate::files::pxar::Mtime;

/// The longest pax header that is written, in bytes. libarchive refuses longer ones, and with them
/// the rest of the archive.
const RECORDS_LEN_MAX: usize = 1 << 20;

/// How much of it stays free for the time, in bytes.
const MTIME_LEN_MAX: usize = 64;

/// The beginning of the keyword of an extended attribute.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// The records of one entry, encoded.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// Adds an extended attribute, if it is one that backups hold and there is room for it.
    #[must_use]
    pub(super) fn push_xattr(&mut self, name: &[u8], value: &[u8]) -> bool {
        let is_known = name.starts_with(b"user.")
            || name.starts_with(b"trusted.")
            || name == b"security.NTACL";
        is_known && self.push(&xattr_keyword(name), value)
    }

    /// Adds the capabilities, if there is room for them.
    #[must_use]
    pub(super) fn push_capabilities(&mut self, value: &[u8]) -> bool {
        self.push(&xattr_keyword(b"security.capability"), value)
    }

    /// Adds the access control lists, if there is room for them.
    #[must_use]
    pub(super) fn push_acls(&mut self, access: Option<&str>, default: Option<&str>) -> bool {
        let access = access.is_none_or(|text| self.push(b"SCHILY.acl.access", text.as_bytes()));
        let default = default.is_none_or(|text| self.push(b"SCHILY.acl.default", text.as_bytes()));
        access && default
    }

    /// Adds the time, unless the plain header can hold all of it.
    pub(super) fn push_mtime(&mut self, mtime: Mtime) {
        if mtime.nanos != 0 || mtime.secs < 0 {
            self.0
                .extend(record(b"mtime", mtime_text(mtime).as_bytes()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, keyword: &[u8], value: &[u8]) -> bool {
        let record = record(keyword, value);
        let has_room = self.0.len() + record.len() <= RECORDS_LEN_MAX - MTIME_LEN_MAX;
        if has_room {
            self.0.extend(record);
        }
        has_room
    }
}

/// The keyword for an extended attribute. A keyword ends at the first `=`, so GNU tar writes `%3D`
/// in its place.
fn xattr_keyword(name: &[u8]) -> Vec<u8> {
    let mut keyword = XATTR.to_vec();
    for byte in name {
        match byte {
            b'=' => keyword.extend(b"%3D"),
            b'%' => keyword.extend(b"%25"),
            byte => keyword.push(*byte),
        }
    }
    keyword
}

/// A record: its own length in decimal, a blank, `keyword=value` and a line feed.
fn record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = b" =\n".len() + keyword.len() + value.len();
    let mut len = rest;
    // The digits count too, and may become more by it.
    while len != rest + decimal_len(len) {
        len = rest + decimal_len(len);
    }
    let mut record = len.to_string().into_bytes();
    record.push(b' ');
    record.extend(keyword);
    record.push(b'=');
    record.extend(value);
    record.push(b'\n');
    record
}

fn decimal_len(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Seconds since 1970 with their fraction. Before 1970 both count backwards.
fn mtime_text(mtime: Mtime) -> String {
    let Mtime { secs, nanos } = mtime;
    let (sign, secs, nanos) = match (secs < 0, nanos) {
        (true, 0) => ("-", secs.unsigned_abs(), 0),
        (true, nanos) => ("-", secs.unsigned_abs() - 1, 1_000_000_000 - nanos),
        (false, nanos) => ("", secs.unsigned_abs(), nanos),
    };
    match nanos {
        0 => format!("{sign}{secs}"),
        nanos => format!("{sign}{secs}.{nanos:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        assert_eq!(record(b"mtime", b"1.5"), b"13 mtime=1.5\n");
        for len in 0..2000 {
            let record = record(b"k", &vec![b'v'; len]);
            let digits = record.split(|byte| *byte == b' ').next().unwrap();
            let stated: usize = String::from_utf8_lossy(digits).parse().unwrap();
            assert_eq!(stated, record.len());
        }
    }

    #[test]
    fn times_before_1970_count_backwards() {
        let text = |secs, nanos| mtime_text(Mtime { secs, nanos });
        assert_eq!(text(1, 5), "1.000000005");
        assert_eq!(text(-2, 500_000_000), "-1.500000000");
        assert_eq!(text(-1, 999_999_999), "-0.000000001");
        assert_eq!(text(-3, 0), "-3");
        assert_eq!(text(i64::MIN, 1), "-9223372036854775807.999999999");
    }

    #[test]
    fn attributes_have_room_for_what_unpackers_take() {
        let mut records = Records::default();
        assert!(records.push_xattr(b"user.a=b", b"1"));
        assert!(!records.push_xattr(b"security.selinux", b"1"));
        assert!(!records.push_xattr(b"user.long", &vec![0; RECORDS_LEN_MAX]));
        assert!(records.push_acls(Some("user::rwx"), None));
        let text = String::from_utf8_lossy(records.as_bytes()).into_owned();
        let expected = "29 SCHILY.xattr.user.a%3Db=1\n31 SCHILY.acl.access=user::rwx\n";
        assert_eq!(text, expected);
    }
}
