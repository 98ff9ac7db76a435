//! The icon's pixels: the rendered artwork, and the bar that shows progress.

use crate::view::{Badge, Icon};

/// Straight (not premultiplied) RGBA, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Width and height in pixels: all artwork is square.
    pub(crate) size: u32,
    pub(crate) pixels: Vec<[u8; 4]>,
}

macro_rules! sizes {
    ($name:literal) => {
        [
            include_bytes!(concat!("../artwork/", $name, "-22.png")).as_slice(),
            include_bytes!(concat!("../artwork/", $name, "-32.png")).as_slice(),
            include_bytes!(concat!("../artwork/", $name, "-48.png")).as_slice(),
            include_bytes!(concat!("../artwork/", $name, "-64.png")).as_slice(),
        ]
    };
}

/// Full, empty, and around it: seen on every ground, and on the badge.
const BAR_FULL: [u8; 4] = [0x3d, 0xd6, 0x5b, 0xff];
const BAR_EMPTY: [u8; 4] = [0xff, 0xff, 0xff, 0xff];
const BAR_EDGE: [u8; 4] = [0x14, 0x24, 0x3c, 0xff];

/// The icon in every size that there is, smallest first.
pub(crate) fn images(icon: Icon) -> Vec<Image> {
    let sources = match icon.badge {
        Badge::Connected => sizes!("connected"),
        Badge::Unregistered => sizes!("unregistered"),
        Badge::Waiting => sizes!("waiting"),
        Badge::Gone => sizes!("gone"),
    };
    let images = sources.into_iter().filter_map(decode);
    images.map(|image| draw_progress(image, icon.fraction())).collect()
}

/// `None` if it is no RGBA of 8 bits, which the artwork always is.
fn decode(png: &[u8]) -> Option<Image> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().ok()?;
    let mut bytes = vec![0; reader.output_buffer_size()?];
    let frame = reader.next_frame(&mut bytes).ok()?;
    let is_rgba =
        (frame.color_type, frame.bit_depth) == (png::ColorType::Rgba, png::BitDepth::Eight);
    let (pixels, rest) = bytes.as_chunks::<4>();
    (is_rgba && rest.is_empty()).then(|| Image { size: frame.width, pixels: pixels.to_vec() })
}

/// Draws a bar across the foot of the image, of which `fraction` is full.
fn draw_progress(mut image: Image, fraction: Option<f32>) -> Image {
    let Some(fraction) = fraction else { return image };
    let Ok(size) = usize::try_from(image.size) else { return image };
    let height = (size / 4).max(4);
    let bar = size - height..size;
    let filled = (1..size - 1).filter(|x| (*x as f32) < 1.0 + fraction * (size - 2) as f32).count();
    for y in bar.clone() {
        for x in 0..size {
            let is_edge = y == bar.start || y + 1 == size || x == 0 || x + 1 == size;
            image.pixels[y * size + x] = match is_edge {
                true => BAR_EDGE,
                false if x <= filled => BAR_FULL,
                false => BAR_EMPTY,
            };
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn icon(badge: Badge, progress: Option<u8>) -> Icon {
        Icon { badge, progress }
    }

    fn count(image: &Image, colour: [u8; 4]) -> usize {
        image.pixels.iter().filter(|pixel| **pixel == colour).count()
    }

    #[test]
    fn every_kind_has_every_size_and_they_differ() {
        let kinds = [Badge::Connected, Badge::Unregistered, Badge::Waiting, Badge::Gone];
        let all: Vec<_> = kinds.map(|badge| images(icon(badge, None))).into_iter().collect();
        for (index, images) in all.iter().enumerate() {
            assert_eq!(images.iter().map(|image| image.size).collect::<Vec<_>>(), [22, 32, 48, 64]);
            assert!(images.iter().all(|it| it.pixels.len() == (it.size * it.size) as usize));
            assert!(all[..index].iter().all(|other| other != images));
        }
    }

    /// The relative luminance of a pixel over a ground (WCAG 2.2).
    fn luminance([red, green, blue, alpha]: [u8; 4], ground: u8) -> f32 {
        let alpha = f32::from(alpha) / 255.0;
        let linear = |channel: u8| {
            let seen = (f32::from(channel) * alpha + f32::from(ground) * (1.0 - alpha)) / 255.0;
            if seen <= 0.04045 { seen / 12.92 } else { ((seen + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    /// The contrast between a pixel and the ground it is on (WCAG 2.2), from 1 to 21.
    fn contrast(pixel: [u8; 4], ground: u8) -> f32 {
        let (one, other) = (luminance(pixel, ground), luminance([0; 4], ground));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_kind_is_seen_on_light_panels_and_on_dark_ones() {
        // What WCAG 2.2, 1.4.11 asks of graphics.
        const CONTRAST: f32 = 3.0;
        for badge in [Badge::Connected, Badge::Unregistered, Badge::Waiting, Badge::Gone] {
            for image in images(icon(badge, None)) {
                for ground in [0x10, 0x2d, 0xdd, 0xf6] {
                    let seen = image.pixels.iter().filter(|it| contrast(**it, ground) >= CONTRAST);
                    let (seen, all) = (seen.count(), image.pixels.len());
                    assert!(seen > all / 5, "{badge:?} {} {ground:x}: {seen}/{all}", image.size);
                }
            }
        }
    }

    #[test]
    fn the_bar_fills_with_progress() {
        let full = |steps| {
            let images = images(icon(Badge::Connected, Some(steps)));
            images.iter().map(|image| count(image, BAR_FULL)).collect::<Vec<_>>()
        };
        assert_eq!(full(0), [0; 4]);
        assert!((1..=20).all(|steps| full(steps).iter().zip(full(steps - 1)).all(|(a, b)| *a > b)));
        for image in images(icon(Badge::Connected, Some(20))) {
            assert!(count(&image, BAR_EMPTY) < count(&image, BAR_FULL));
        }
    }
}
