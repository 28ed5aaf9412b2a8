//! What stands below every protocol: lines and counted literals, and base64.

use wire::base64;
use wire::cut::{Cutter, TooLong};

use crate::meter;
use crate::script::Split;

/// What is decoded is encoded as it was: there is one spelling of everything.
pub(crate) fn base64(input: &[u8]) {
    let mut encoded = Vec::new();
    meter::within(input, || base64::encode(input, &mut encoded));
    assert_eq!(base64::decode(&encoded).as_deref(), Some(input));
    if let Some(data) = base64::decode(input) {
        let mut again = Vec::new();
        base64::encode(&data, &mut again);
        assert_eq!(again, input);
    }
}

/// Lines, and after a line that ends with a digit as many bytes, whatever the reads.
pub(crate) fn cutter(input: &[u8]) {
    meter::within(input, || cut(input, Split::Pieces));
    let whole = cut(input, Split::Whole);
    assert_eq!(whole, cut(input, Split::Bytes));
    assert_eq!(whole, cut(input, Split::Pieces));
    let taken: usize = whole.0.iter().map(Vec::len).sum();
    assert!(taken + whole.1.len() <= input.len());
}

const LIMIT: usize = 80;

/// The lines and literals in order, and what was left.
fn cut(input: &[u8], split: Split) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut cutter = Cutter::new(LIMIT);
    let mut taken = Vec::new();
    let mut literal = None;
    let mut fed = 0;
    for piece in split.of(input) {
        cutter.feed(piece);
        fed += piece.len();
        loop {
            if let Some(count) = literal {
                let Some(bytes) = cutter.bytes(count) else { break };
                assert_eq!(bytes.len(), count);
                literal = None;
                taken.push(bytes);
            }
            match cutter.line() {
                Ok(None) => break,
                Ok(Some(line)) => {
                    assert!(line.len() < LIMIT && !line.contains(&b'\n'));
                    literal = line
                        .last()
                        .filter(|byte| byte.is_ascii_digit())
                        .map(|digit| usize::from(digit - b'0'));
                    taken.push(line);
                }
                Err(TooLong) => {
                    return (taken, [cutter.rest(), input[fed..].to_vec()].concat());
                }
            }
        }
    }
    let pending = cutter.pending();
    let rest = cutter.rest();
    assert_eq!(rest.len(), pending);
    assert!(input.ends_with(&rest) && cutter.pending() == 0);
    (taken, rest)
}
