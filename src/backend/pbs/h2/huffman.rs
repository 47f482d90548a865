//! HPACK's Huffman code (RFC 7541, appendix B). Knows nothing of headers.

/// How many bits the code of each byte has, and last of all that of the end of a string. The code is canonical: codes
/// are numbered by length and then by symbol, so the lengths are all there is to know.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONGEST: usize = 30;
const END_OF_STRING: u16 = 256;

/// The symbols in the order of their codes, and for each length how many have it.
struct Code {
    symbols: [u16; 257],
    counts: [u32; LONGEST + 1],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Code {
        let mut symbols = [0; 257];
        let mut counts = [0; LONGEST + 1];
        let (mut length, mut next) = (1, 0);
        while length <= LONGEST {
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    symbols[next] = symbol as u16;
                    counts[length] += 1;
                    next += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        Code { symbols, counts }
    }
}

/// Adds the decoded string to `to`. `None` where it is malformed: it holds the end of a string, or does not end with
/// less than a byte of ones.
pub(super) fn decode(coded: &[u8], to: &mut Vec<u8>) -> Option<()> {
    // Bit by bit: `code` is what was read of the current symbol, `first` the lowest code of that length and `index`
    // the place of its symbol. Headers are short, and chunks have three of them.
    let (mut code, mut first, mut index, mut length) = (0, 0, 0, 0);
    for bit in bits(coded) {
        code |= bit;
        length += 1;
        let count = *CODE.counts.get(length)?;
        if code < first + count {
            let symbol = CODE.symbols[(index + code - first) as usize];
            if symbol == END_OF_STRING {
                return None;
            }
            to.push(symbol as u8);
            (code, first, index, length) = (0, 0, 0, 0);
        } else {
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
    }
    // What is left must be the beginning of the end of a string, which is all ones.
    (length < 8 && code == (1 << (length + 1)) - 2).then_some(())
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| u32::from(byte >> place & 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut to = Vec::new();
        decode(coded, &mut to).map(|()| to)
    }

    /// Encodes by the codes that follow from the lengths, with the given bits after the last symbol.
    fn encoded(symbols: impl IntoIterator<Item = u16>, padding: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for symbol in symbols {
            let (mut code, mut place, mut length) = (0u32, 0, 1);
            let rank = CODE
                .symbols
                .iter()
                .position(|&other| other == symbol)
                .unwrap() as u32;
            while place + CODE.counts[length] <= rank {
                code = (code + CODE.counts[length]) << 1;
                place += CODE.counts[length];
                length += 1;
            }
            code += rank - place;
            bits.extend((0..length).rev().map(|place| (code >> place & 1) as u8));
        }
        bits.extend(padding);
        while bits.len() % 8 != 0 {
            bits.push(1);
        }
        bits.chunks(8)
            .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit))
            .collect()
    }

    #[test]
    fn every_byte_comes_back_at_every_bit() {
        for byte in 0..=255 {
            for before in 0..8 {
                let zeros = std::iter::repeat_n(u16::from(b'0'), before);
                let coded = encoded(zeros.chain([byte, u16::from(b'z')]), &[]);
                let back = decoded(&coded).unwrap();
                assert_eq!(back[before..], [byte as u8, b'z']);
            }
        }
    }

    #[test]
    fn the_example_of_the_standard() {
        let coded = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&coded).unwrap(), b"www.example.com");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn a_wrong_end_is_malformed() {
        // A whole byte of padding, the end of a string, and padding that has a zero.
        assert_eq!(decoded(&[0xff]), None);
        assert_eq!(decoded(&encoded([u16::from(b'&')], &[1; 8])), None);
        assert_eq!(decoded(&encoded([END_OF_STRING], &[])), None);
        assert_eq!(decoded(&[0xff; 4]), None);
        assert_eq!(decoded(&encoded([u16::from(b'0')], &[1, 0])), None);
        assert_eq!(decoded(&encoded([u16::from(b'0')], &[0])), None);
        assert_eq!(decoded(&encoded([u16::from(b'0')], &[])).unwrap(), b"0");
    }
}
