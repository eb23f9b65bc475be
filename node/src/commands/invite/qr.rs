//! A ticket as a QR code of half blocks, for a terminal.
//!
//! In capitals: letters and digits of one case take a third less room, and a
//! ticket is read in either. The only place that knows qrcode.

use crate::exit::{Exit, Failure};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Draws a text, with the quiet zone that cameras need.
///
/// # Errors
/// When it is too long for any code.
pub(super) fn draw(text: &str) -> Result<String, Failure> {
    let capitals = text.to_ascii_uppercase();
    let code = QrCode::with_error_correction_level(capitals, EcLevel::L).map_err(|error| {
        Failure::new(Exit::Failure, format!("the ticket has no QR code: {error}"))
    })?;
    // A terminal is dark as a rule: paper is drawn there, and ink left empty.
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Ok(format!("{picture}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_fits_and_an_endless_text_does_not() {
        let picture = draw(&format!("talkoot1{}", "a2".repeat(500))).unwrap();
        let lines: Vec<&str> = picture.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!((60..120).contains(&width), "{width}");
        assert!(draw(&"a".repeat(10_000)).is_err());
    }
}
