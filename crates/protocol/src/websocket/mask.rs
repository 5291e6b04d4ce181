//! Unmasking of client frames (RFC 6455, section 5.3).

/// Unmasks in place and turns the key, so that the next part of the same frame goes on where this one ended.
pub(super) fn unmask(payload: &mut [u8], key: &mut [u8; 4]) {
    let [a, b, c, d] = *key;
    // Eight bytes at a time: the compiler makes vector instructions of this shape, and not of a byte loop with `% 4`.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let bytes: [u8; 8] = (&*word).try_into().expect("chunks_exact gives eight bytes");
        word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, key_byte) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key_byte;
    }
    key.rotate_left(payload.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::unmask;

    #[test]
    fn parts_unmask_like_the_whole() {
        let masked: Vec<u8> = (0..100).map(|byte: u8| byte.wrapping_mul(7)).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        let expected: Vec<u8> = masked
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ key[index % 4])
            .collect();
        for cut in 0..=masked.len() {
            let mut payload = masked.clone();
            let mut turning = key;
            let (first, second) = payload.split_at_mut(cut);
            unmask(first, &mut turning);
            unmask(second, &mut turning);
            assert_eq!(payload, expected, "cut at {cut}");
        }
    }
}
