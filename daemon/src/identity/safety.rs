//! The safety phrase: words that two people compare to know that nobody stands between them.

use aws_lc_rs::digest;
use bip39::Language;
use filefleet_server::protos::certificate::IdentityKey;

/// Words of each person's half: 6 × 11 bits = 66 bits, beyond anybody's search for a look-alike.
const WORDS: usize = 6;
const BITS_PER_WORD: usize = 11;
const DOMAIN: &[u8] = b"filefleet safety phrase 1\0";

/// The phrase of two identities: the same for both, whoever asks.
pub(crate) fn safety_phrase(one: &IdentityKey, other: &IdentityKey) -> String {
    let mut halves = [half(one), half(other)];
    halves.sort();
    halves.join("  ")
}

fn half(identity: &IdentityKey) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(DOMAIN);
    context.update(identity.as_bytes());
    let digest = context.finish();
    let bit = |index: usize| usize::from(digest.as_ref()[index / 8] >> (7 - index % 8) & 1);
    let list = Language::English.word_list();
    let words = (0..WORDS).map(|word| {
        let bits = word * BITS_PER_WORD..(word + 1) * BITS_PER_WORD;
        list[bits.fold(0, |number, index| number << 1 | bit(index))]
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_people_see_the_same_twelve_words_and_others_do_not() {
        let [a, b, c] = [1, 2, 3].map(|byte| IdentityKey::from_bytes([byte; 32]));
        assert_eq!(safety_phrase(&a, &b), safety_phrase(&b, &a));
        assert_ne!(safety_phrase(&a, &b), safety_phrase(&a, &c));
        assert_eq!(safety_phrase(&a, &b).split_whitespace().count(), 2 * WORDS);
    }
}
