// Drawing on pictures: outlines and labels. Whatever lies outside the picture is cut off.
#pragma once

#include <string_view>

#include "cli/picture.h"

namespace lanner::cli {

// Colours that differ clearly from those of the neighbouring numbers; the same number always has the same colour.
Colour distinct_colour(std::int64_t number);

// Fills the pixels left .. right - 1, top .. bottom - 1.
void fill_rectangle(Picture& picture, std::int64_t left, std::int64_t top, std::int64_t right, std::int64_t bottom,
                    Colour colour);

// Width and height in px of a text whose letters are built from squares of `unit_px`: 5 by 7 with one between letters.
std::int64_t text_width_px(std::string_view text, int unit_px);
std::int64_t text_height_px(int unit_px);

// Draws a text with its top left corner at (left, top). UTF-8; what is not printable ASCII appears as '?'.
void draw_text(Picture& picture, std::string_view text, std::int64_t left, std::int64_t top, int unit_px,
               Colour colour);

// A box outline, its line inside the box, with `text` on a filled strip above the box, or inside it where the picture
// ends. `box` is left, top, right, bottom in px. Lines and letters grow with the picture.
void draw_box(Picture& picture, const std::array<float, 4>& box, std::string_view text, Colour colour);

}  // namespace lanner::cli
