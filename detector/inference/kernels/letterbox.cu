// Pictures to a model's input in one pass and one launch: bilinear resize, grey padding, colour order, scale,
// HWC to CHW; one picture a camera, each of its own size and format.
//
// Launch interface (launch.py makes all of it):
//   letterbox_f32 | letterbox_f16 (const Picture* pictures, float | half* out, int width, int height, int bgr,
//                                  float scale, float pad)
//   block (64, 4, 1), two pixels in x of four rows a thread; grid (ceil(width / 128), ceil(height / 16), pictures)
//   out [pictures, 3, height, width], at least 8-byte aligned; `bgr` != 0 keeps blue first, else red is; `pad` is
//   the grey value already scaled. `pictures` and what it points to may lie in mapped host memory.
//   A Picture of zeros is an empty place in the batch: all grey.
//
// Geometry: OpenCV's pixel centres, source = (x + 0.5) * size / fitted - 0.5, clamped. Whole and fraction are
// taken apart in integers, exactly, so a tap of no weight is known as such and never read: 1920 to 640 reads one
// row of three. All products that are added to are explicit fmaf: host and device give the same bits.
// Colour: taps become RGB (rounded to 8 bits, as a decoder's conversion does) before they are weighed, so NV12 and
// YUYV (and I420, a software decoder's) equal "convert, then resize"; chroma is that of the tap's own 2x2 or 2x1 cell.
// Traffic: no pixel of the source that has no weight is read, each output is written once by paired stores, padding
// reads nothing. Two pixels side by side, not four: a warp's store is whole 128-byte lines either way (half precision:
// one line), and neighbouring threads' loads lie half as far apart. A block's 128 x 16 pixels share the source's rows
// and sectors through the cache; the fewer edges, the less is read twice.
#include "device.cuh"

enum { BGR = 0, NV12 = 1, YUYV = 2, I420 = 3 };
enum { ROWS = 4 };  // that a thread makes, a block's height apart

// Mirrored by launch.PICTURE.
struct Picture {
  const u8* plane;      // BGR or YUYV (4-byte aligned), or NV12's or I420's Y
  const u8* chroma;     // NV12's interleaved UV, 2-byte aligned; I420's U
  const u8* chroma_v;   // I420's V
  int width, height;    // px of the source
  int stride;           // bytes from row to row of `plane` (YUYV: a multiple of 4)
  int chroma_stride;    // of `chroma`, even
  int fitted_width, fitted_height;  // px of the resized picture in the input
  int pad_x, pad_y;     // where it begins
  float inverse_x, inverse_y;       // 1 / (2 * fitted)
  int format;
  float black, gain;    // Y' = max(Y - black, 0) * gain
  float red_v, green_u, green_v, blue_u;
};

struct Rgb {
  float red, green, blue;
};

// Where an output pixel lies in the source, along one axis: two neighbours and the second one's weight.
struct Tap {
  int first, second;
  float weight;
};

__device__ __forceinline__ Tap locate(int position, int size, int fitted, float inverse) {
  const int steps = (2 * position + 1) * size - fitted;  // source position in 1 / (2 * fitted) px
  if (steps <= 0) return {0, 0, 0.0f};
  const int first = int(u32(steps) / u32(2 * fitted));
  if (first >= size - 1) return {size - 1, size - 1, 0.0f};
  const int rest = steps - first * 2 * fitted;
  return {first, rest ? first + 1 : first, float(rest) * inverse};
}

__device__ __forceinline__ float whole(float value) { return rintf(fminf(fmaxf(value, 0.0f), 255.0f)); }

__device__ __forceinline__ Rgb convert(const Picture& picture, u32 luma, u32 u, u32 v) {
  const float bright = fmaxf(float(luma) - picture.black, 0.0f) * picture.gain;
  const float du = float(u) - 128.0f, dv = float(v) - 128.0f;
  return {whole(fmaf(dv, picture.red_v, bright)), whole(fmaf(du, picture.green_u, fmaf(dv, picture.green_v, bright))),
          whole(fmaf(du, picture.blue_u, bright))};
}

__device__ __forceinline__ Rgb fetch(const Picture& picture, int x, int y) {
  const u8* row = picture.plane + (long long)y * picture.stride;
  if (picture.format == BGR) {
    const u8* pixel = row + 3 * x;
    return {float(load(pixel + 2)), float(load(pixel + 1)), float(load(pixel))};
  }
  if (picture.format == NV12) {
    const u8* cells = picture.chroma + (long long)(y >> 1) * picture.chroma_stride;
    const u32 cell = load((const u16*)cells + (x >> 1));
    return convert(picture, load(row + x), cell & 0xff, cell >> 8);
  }
  if (picture.format == I420) {
    const long long cell = (long long)(y >> 1) * picture.chroma_stride + (x >> 1);
    return convert(picture, load(row + x), load(picture.chroma + cell), load(picture.chroma_v + cell));
  }
  const u32 cell = load((const u32*)row + (x >> 1));  // Y0 U Y1 V
  return convert(picture, (x & 1 ? cell >> 16 : cell) & 0xff, cell >> 8 & 0xff, cell >> 24);
}

__device__ __forceinline__ Rgb blend(const Rgb& first, const Rgb& second, float weight) {
  return {fmaf(weight, second.red - first.red, first.red), fmaf(weight, second.green - first.green, first.green),
          fmaf(weight, second.blue - first.blue, first.blue)};
}

// The source's row `y` at a place between two pixels.
__device__ __forceinline__ Rgb across(const Picture& picture, const Tap& column, int y) {
  const Rgb first = fetch(picture, column.first, y);
  if (column.second == column.first) return first;
  return blend(first, fetch(picture, column.second, y), column.weight);
}

// The tap of an input's column; first < 0 beside the picture.
__device__ __forceinline__ Tap column_of(const Picture& picture, int x) {
  x -= picture.pad_x;
  if (x < 0 || x >= picture.fitted_width) return {-1, -1, 0.0f};
  return locate(x, picture.width, picture.fitted_width, picture.inverse_x);
}

__device__ __forceinline__ Rgb sample(const Picture& picture, const Tap& column, const Tap& row, float scale,
                                      float pad) {
  if (column.first < 0) return {pad, pad, pad};
  Rgb mixed = across(picture, column, row.first);
  if (row.second != row.first) mixed = blend(mixed, across(picture, column, row.second), row.weight);
  return {mixed.red * scale, mixed.green * scale, mixed.blue * scale};
}

// Two neighbours of a plane; `paired`: both are there and the place is aligned for one store.
__device__ __forceinline__ void put(float* place, float left, float right, bool paired, bool both) {
  if (paired) return store((float2*)place, make_float2(left, right));
  store(place, left);
  if (both) store(place + 1, right);
}

__device__ __forceinline__ void put(u16* place, float left, float right, bool paired, bool both) {
  const u16 low = half_bits(left), high = half_bits(right);
  if (paired) return store((u32*)place, u32(low) | u32(high) << 16);
  store(place, low);
  if (both) store(place + 1, high);
}

template <typename Out>
__device__ __forceinline__ void letterbox(const Picture* pictures, Out* out, int width, int height, int bgr,
                                          float scale, float pad) {
  const int x = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (x >= width) return;
  const Picture& picture = pictures[blockIdx.z];
  const bool both = x + 1 < width, paired = !(width & 1);
  const Tap left_column = column_of(picture, x), right_column = column_of(picture, both ? x + 1 : x);
  const long long area = (long long)width * height;
  int y = blockIdx.y * blockDim.y * ROWS + threadIdx.y;
#pragma unroll 1
  for (int turn = 0; turn < ROWS && y < height; ++turn, y += blockDim.y) {
    Rgb left = {pad, pad, pad}, right = left;
    const int line = y - picture.pad_y;
    if (line >= 0 && line < picture.fitted_height) {
      const Tap row = locate(line, picture.height, picture.fitted_height, picture.inverse_y);
      left = sample(picture, left_column, row, scale, pad);
      right = sample(picture, right_column, row, scale, pad);
    }
    Out* place = out + 3 * area * blockIdx.z + (long long)y * width + x;
    put(place, bgr ? left.blue : left.red, bgr ? right.blue : right.red, paired, both);
    put(place + area, left.green, right.green, paired, both);
    put(place + 2 * area, bgr ? left.red : left.blue, bgr ? right.red : right.blue, paired, both);
  }
}

extern "C" __global__ void __launch_bounds__(256, 5)
    letterbox_f32(const Picture* pictures, float* out, int width, int height, int bgr, float scale, float pad) {
  letterbox(pictures, out, width, height, bgr, scale, pad);
}

extern "C" __global__ void __launch_bounds__(256, 5)
    letterbox_f16(const Picture* pictures, u16* out, int width, int height, int bgr, float scale, float pad) {
  letterbox(pictures, out, width, height, bgr, scale, pad);
}
