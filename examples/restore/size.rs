//! Sizes in bytes, as people type and read them.

use std::fmt;
use std::ops::Range;

/// A number of bytes, shown in a suitable unit: `612 MiB`, `12.5 GiB`.
pub(crate) struct Size(pub(crate) f64);

impl Size {
    pub(crate) fn of(bytes: u64) -> Size {
        Size(bytes as f64)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0;
        let mut units = ["bytes", "KiB", "MiB", "GiB", "TiB"].into_iter();
        let mut unit = units.next().unwrap_or_default();
        for larger in units {
            // A size that would be rounded to 1024 is shown as 1.0 of the next unit.
            if size < 1023.5 {
                break;
            }
            size /= 1024.0;
            unit = larger;
        }
        let decimals = usize::from(unit != "bytes" && size < 99.95);
        write!(f, "{size:.decimals$} {unit}")
    }
}

/// A number of things, such as `1 read` or `812 reads`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Reads a range such as `1GiB+512MiB`: its offset and its length.
pub(crate) fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (offset, len) = text
        .split_once('+')
        .ok_or("not a range such as 1GiB+512MiB")?;
    let start = parse(offset)?;
    let end = start.checked_add(parse(len)?).ok_or("too large")?;
    if end == start {
        return Err("a range of no bytes".to_owned());
    }
    Ok(start..end)
}

/// Reads a size such as `256MiB`, `256M`, `1G` or `65536`. The units are powers of 1024.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("not a size such as 256MiB, 1G or 65536".to_owned()),
    };
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) if number.is_empty() => return Err("a size begins with a number".to_owned()),
        Err(_) => return Err("too large".to_owned()),
    };
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "too large".to_owned())
}
