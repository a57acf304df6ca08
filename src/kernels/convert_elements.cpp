#include "kernels/convert_elements.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/fail.h"
#include "kernels/convert.h"
#include "kernels/elementwise.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::AllNumericTypes;
using tensor::Bfloat16;
using tensor::Float16;
using tensor::Float8E8M0;
using tensor::TypeList;

template <typename T>
constexpr bool kIsTinyInteger = !std::is_arithmetic_v<T> && std::is_convertible_v<T, int> && requires(T x) {
  requires std::is_same_v<decltype(+x), int>;
};

// Whether T's numbers are all an int64, or wrap as one.
template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> || kIsTinyInteger<T>;

bool is_integer(ElementType type) {
  bool result = false;
  tensor::dispatch(AllNumericTypes{}, type, "Cast", [&]<typename T>() { result = kIsInteger<T>; });
  return result;
}

template <typename Wide, typename T>
Wide read(T x) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<Wide>(x);
  else if constexpr (kIsTinyInteger<T>)
    return static_cast<Wide>(static_cast<int>(x));
  else
    return static_cast<Wide>(static_cast<float>(x));
}

template <typename T, typename Wide>
T written(Wide x, const CastRules& rules) {
  if constexpr (std::is_arithmetic_v<T>) {
    return convert<T>(x);
  } else if constexpr (kIsTinyInteger<T>) {
    return T(convert<std::int64_t>(x));
  } else if constexpr (std::is_same_v<T, Float8E8M0>) {
    return Float8E8M0::from(static_cast<double>(x), rules.round, rules.overflow);
  } else if constexpr (sizeof(T) == 1) {
    T element;
    element.bits = static_cast<std::uint8_t>(tensor::encode_float(T::kFormat, static_cast<double>(x), rules.overflow));
    return element;
  } else {
    return T(static_cast<double>(x));
  }
}

// Through Wide, piece by piece, which keeps the number of loops at the sum of both numbers of types, not their product.
template <typename Wide>
void convert_through(int threads, const Tensor& from, const CastRules& rules, Tensor& to) {
  base::parallel_for(threads, from.element_count(), kElementGrain, [&](std::int64_t first, std::int64_t last) {
    std::array<Wide, 512> piece;
    for (std::int64_t begin = first; begin < last; begin += static_cast<std::int64_t>(piece.size())) {
      const std::int64_t count = std::min(last - begin, static_cast<std::int64_t>(piece.size()));
      tensor::dispatch(AllNumericTypes{}, from.element_type(), "Cast", [&]<typename T>() {
        // Bytes of a bool other than 0 count as true.
        using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;
        const auto* in = static_cast<const Stored*>(from.raw_data()) + begin;
        std::transform(in, in + count, piece.begin(), [](Stored x) {
          if constexpr (std::is_same_v<T, bool>)
            return static_cast<Wide>(x != 0);
          else
            return read<Wide>(x);
        });
      });
      tensor::dispatch(AllNumericTypes{}, to.element_type(), "Cast", [&]<typename T>() {
        std::transform(piece.begin(), piece.begin() + count, to.data<T>() + begin,
                       [&](Wide x) { return written<T>(x, rules); });
      });
    }
  });
}

// ---- strings ------------------------------------------------------------------------------------------------------

// Reads all of `text`; false when it is not a number of type T.
template <typename T>
bool read_number(std::string_view text, T& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

template <typename T>
T number_of(const std::string& text, const CastRules& rules) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, std::uint64_t>) {
    if (T value{}; read_number(text, value)) return value;
  }
  if constexpr (kIsInteger<T>) {
    if (std::int64_t value = 0; read_number(text, value)) return written<T>(value, rules);
  }
  if (double value = 0; read_number(text, value)) return written<T>(value, rules);
  base::invalid("op.value", "the string '{}' is not a number that Cast can read", text);
}

template <typename T>
std::string text_of(T x) {
  if constexpr (kIsInteger<T>) {
    if constexpr (std::is_same_v<T, bool>)
      return x ? "1" : "0";
    else
      return fmt::to_string(+x);
  } else {
    const auto value = [x] {
      if constexpr (std::is_arithmetic_v<T>)
        return x;
      else
        return static_cast<float>(x);
    }();
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "INF" : "-INF";
    if constexpr (!std::is_arithmetic_v<T>) {
      for (int digits = 1; digits < 9; ++digits) {
        std::string text = fmt::format("{:.{}g}", value, digits);
        float again = 0;
        if (read_number(text, again) && T(again).bits == x.bits) return text;
      }
    }
    return fmt::to_string(value);
  }
}

}  // namespace

void convert_elements(int threads, const Tensor& from, const CastRules& rules, Tensor& to) {
  const ElementType source = from.element_type();
  const ElementType target = to.element_type();
  if (source == target) return copy_elements(threads, source, from.element_count(), from.raw_data(), to.raw_data());
  if (source == ElementType::kString) {
    return tensor::dispatch(AllNumericTypes{}, target, "Cast from strings", [&]<typename T>() {
      std::ranges::transform(from.values<std::string>(), to.data<T>(),
                             [&](const std::string& text) { return number_of<T>(text, rules); });
    });
  }
  if (target == ElementType::kString) {
    return tensor::dispatch(AllNumericTypes{}, source, "Cast to strings", [&]<typename T>() {
      std::ranges::transform(from.values<T>(), to.data<std::string>(), [](T x) { return text_of(x); });
    });
  }
  // Between float32 and the 16-bit floats nothing has to be wider.
  using Common = TypeList<float, Float16, Bfloat16>;
  const auto is_common = [](ElementType type) {
    return type == ElementType::kFloat32 || type == ElementType::kFloat16 || type == ElementType::kBfloat16;
  };
  if (is_common(source) && is_common(target)) {
    return tensor::dispatch(Common{}, source, "Cast", [&]<typename From>() {
      tensor::dispatch(Common{}, target, "Cast", [&]<typename To>() {
        map_elements(threads, from.element_count(), from.data<From>(), to.data<To>(),
                     [](From x) { return To(static_cast<float>(x)); });
      });
    });
  }
  if (is_integer(source) && is_integer(target))
    convert_through<std::int64_t>(threads, from, rules, to);
  else
    convert_through<double>(threads, from, rules, to);
}

}  // namespace lanner::kernels
