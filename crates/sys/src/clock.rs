//! Local time as text, by the C library, which knows the time zone.

use std::ffi::CString;

/// Formats seconds since 1970 in local time with a `strftime` format. A format that does not fit,
/// or holds a NUL, gives the empty string.
pub fn format_local(seconds: u64, format: &str) -> String {
    let Ok(format) = CString::new(format) else { return String::new() };
    let Ok(time) = libc::time_t::try_from(seconds) else { return String::new() };
    let mut out = [0u8; 256];
    // SAFETY: `localtime_r` reads `time` and writes `parts`, both of which live here, and
    // `parts` is plain data for which zero is a valid value. `strftime` writes at most `out.len()`
    // bytes into `out` and reads the NUL-terminated `format` and the initialised `parts`.
    let length = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const time, &raw mut parts).is_null() {
            return String::new();
        }
        libc::strftime(out.as_mut_ptr().cast(), out.len(), format.as_ptr(), &raw const parts)
    };
    String::from_utf8_lossy(out.get(..length).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_survives_formats_that_cannot_be() {
        assert_eq!(format_local(0, "x").as_str(), "x");
        assert_eq!(format_local(86_400 * 365, "%Y").len(), 4);
        assert_eq!(format_local(0, "a\0b"), "");
        assert_eq!(format_local(0, &"x".repeat(1000)), "");
    }
}
