// A detection head to persons on the device: score floor, person class, box decode, NMS. Two launches for any
// number of pictures; what comes back is a 16-byte header and 20 bytes a person.
//
// Launch interface (post.py makes all of it):
//   gather_f32 | gather_f16     (const Head* head, void* scratch)
//       block (256, 1, 1), grid (ceil(cells / 256), pictures, 1)
//   suppress_f32 | suppress_f16 (const Head* head, void* scratch, Result* results)
//       block (512, 1, 1), grid (pictures, 1, 1), on the same stream
//   scratch: post.scratch_bytes, zeroed once when it is allocated; suppress leaves it ready for the next frame.
//   results [pictures] may be mapped host memory: only the header and the rows in use are written.
//   The suffix is the type of the head's tensors.
//
// One Head describes all layouts by strides: dense [4+C, N] and [5, N] (YOLOv8, YOLO11), YOLOX's raw grid
// [N, 5+C], its boxes [N, 4] and scores [C, N] cut before the NMS, and end-to-end rows [K, 6].
//
// What pays, by bytes (640 x 640, fp32): a dense head of 80 classes is 84 x 8400 x 4 = 2.8 MB, of which the score
// row (34 KB) and 16 bytes a candidate are read here, and some hundred bytes come back. A YOLOX grid at 416 is 1.2 MB.
// INMSLayer wants boxes [N, 4] and scores laid out for it, which moves several times the bytes, and gives a number
// of rows that only the GPU knows: the host would have to wait for it. `python -m bench.kernels` counts the bytes.
// End-to-end rows are 7.2 KB: less time on any bus than one launch takes, so a backend had better copy them and
// decode on the CPU; the kernels take them all the same (no NMS), for large batches.
//
// NMS is greedy over at most 1024 candidates, the best by score and index. It holds a flag a candidate in
// shared memory, and goes through them once for each box that stays: persons in a picture are few, and a full
// bit matrix would cost 1024 x 1024 / 2 overlaps (and 128 KB) whatever the picture shows.
// Deterministic: candidates are compacted in any order, then sorted by a key that no two share.
// Nonsense is told in `status`, never read as "nobody there"; what is checked is what is read: all scores of the
// person class, and the candidates' boxes and labels.
#include "device.cuh"

enum { CENTERS = 0, CORNERS = 1, GRID = 2 };                       // Head.form
enum { NOT_FINITE = 1, NOT_SCORES = 2, WILD_BOXES = 4, MANY = 8 };  // Result.status; MANY: the rest was left out
enum { CANDIDATES = 1024, PERSONS = 300 };
#define SCORE_SLACK 0.01f  // as decode.py: half precision may overshoot a little
#define SPREAD 100.0f

// Mirrored by post.HEAD. Steps and pitches count elements.
struct Head {
  const void* boxes;
  const void* scores;      // the person class's
  const void* objectness;  // multiplied in; null: none
  const void* labels;      // rows of another label are no persons; null: all are
  int cells, form;
  int box_step, box_pitch;  // from box to box, from coordinate to coordinate
  int score_step;           // from score to score, objectness and labels alike
  int box_image, score_image;  // from picture to picture
  int width, height, person;   // the input's px; the label
  float floor, iou;            // iou >= 1: no NMS
};

// Mirrored by post.RESULT.
struct Result {
  int count, status, candidates, unused;
  float rows[PERSONS][5];  // x1, y1, x2, y2 in input px, score; best first
};

struct Scratch {
  u32 count, status, unused[2];
  u64 keys[1];  // as many as the head has cells
};

__device__ __forceinline__ Scratch* scratch_of(void* scratch, const Head* head, int image) {
  return (Scratch*)((u8*)scratch + (16 + 8ull * head->cells) * image);
}

// Highest score first, then lowest index: scores are not negative, so their bits sort as they do.
__device__ __forceinline__ u64 key_of(float score, int index) {
  return u64(__float_as_uint(score)) << 32 | u32(~index);
}

__device__ __forceinline__ float score_of(u64 key) { return __uint_as_float(u32(key >> 32)); }
__device__ __forceinline__ int index_of(u64 key) { return int(~u32(key)); }
__device__ __forceinline__ bool finite(float value) { return fabsf(value) <= 3.402823466e38f; }

template <typename T>
__device__ __forceinline__ float element(const void* tensor, long long place) {
  return as_float(load((const T*)tensor + place));
}

// `value` as a score 0..1; says in `status` when it is none.
__device__ __forceinline__ float as_score(float value, u32& status) {
  if (!finite(value)) status |= NOT_FINITE;
  else if (value < -SCORE_SLACK || value > 1.0f + SCORE_SLACK) status |= NOT_SCORES;
  return value > 0.0f ? fminf(value, 1.0f) : 0.0f;
}

template <typename T>
__device__ __forceinline__ void gather(const Head* head, void* scratch) {
  const int index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index >= head->cells) return;
  Scratch* own = scratch_of(scratch, head, blockIdx.y);
  const long long place = (long long)head->score_image * blockIdx.y + (long long)head->score_step * index;
  u32 status = 0;
  float score = as_score(element<T>(head->scores, place), status);
  if (head->objectness) score *= as_score(element<T>(head->objectness, place), status);
  bool taken = score >= head->floor;
  if (taken && head->labels) {
    const float label = element<T>(head->labels, place);
    if (!finite(label)) status |= NOT_FINITE;
    taken = rintf(label) == float(head->person);
  }
  if (status) atomicOr(&own->status, status);
  if (taken) own->keys[atomicAdd(&own->count, 1u)] = key_of(score, index);
}

// The cell's column, row and stride: grids of stride 8, 16 and 32, one after the other.
__device__ __forceinline__ float3 cell_of(const Head* head, int index) {
  int stride = 8;
  for (; stride < 32; stride *= 2) {
    const int cells = (head->width / stride) * (head->height / stride);
    if (index < cells) break;
    index -= cells;
  }
  const int columns = head->width / stride;
  return make_float3(float(index % columns), float(index / columns), float(stride));
}

template <typename T>
__device__ __forceinline__ float4 decode(const Head* head, int image, int index) {
  const long long place = (long long)head->box_image * image + (long long)head->box_step * index;
  float a = element<T>(head->boxes, place), b = element<T>(head->boxes, place + head->box_pitch);
  float c = element<T>(head->boxes, place + 2ll * head->box_pitch);
  float d = element<T>(head->boxes, place + 3ll * head->box_pitch);
  if (head->form == CORNERS) return make_float4(a, b, c, d);
  if (head->form == GRID) {
    const float3 cell = cell_of(head, index);
    a = (a + cell.x) * cell.z, b = (b + cell.y) * cell.z;
    c = expf(c) * cell.z, d = expf(d) * cell.z;
  }
  c *= 0.5f, d *= 0.5f;
  return make_float4(a - c, b - d, a + c, b + d);
}

// Written so that NaN is wild too.
__device__ __forceinline__ bool wild(const Head* head, const float4& box) {
  const float limit = SPREAD * float(max(head->width, head->height));
  return !(fabsf(box.x) <= limit && fabsf(box.y) <= limit && fabsf(box.z) <= limit && fabsf(box.w) <= limit);
}

__device__ __forceinline__ float area(const float4& box) {
  return fmaxf(box.z - box.x, 0.0f) * fmaxf(box.w - box.y, 0.0f);
}

// Whether the intersection over union exceeds `iou`; boxes of no area are one and the same, as OpenCV has it.
__device__ __forceinline__ bool overlaps(const float4& one, const float4& other, float iou) {
  const float both = area(one) + area(other);
  if (both <= 0.0f) return true;
  const float width = fminf(one.z, other.z) - fmaxf(one.x, other.x);
  const float height = fminf(one.w, other.w) - fmaxf(one.y, other.y);
  if (width <= 0.0f || height <= 0.0f) return false;
  const float common = width * height;
  return common > iou * (both - common);
}

// The CANDIDATES-th highest of `count` keys, bit by bit.
__device__ __forceinline__ u64 least_taken(const u64* keys, int count) {
  __shared__ u32 tally;
  u64 least = 0;
  for (int bit = 61; bit >= 0; --bit) {  // a score of 1 has bit 61 as its highest
    const u64 higher = least | 1ull << bit;
    if (threadIdx.x == 0) tally = 0;
    __syncthreads();
    u32 mine = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) mine += keys[i] >= higher;
    if (mine) atomicAdd(&tally, mine);
    __syncthreads();
    if (tally >= CANDIDATES) least = higher;
    __syncthreads();
  }
  return least;
}

// Bitonic, highest first; `size` is a power of two.
__device__ __forceinline__ void sort(u64* keys, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int gap = run / 2; gap > 0; gap /= 2) {
      for (int pair = threadIdx.x; pair < size / 2; pair += blockDim.x) {
        const int low = 2 * pair - (pair & (gap - 1)), high = low + gap;
        const u64 first = keys[low], second = keys[high];
        if ((first < second) == !(low & run)) keys[low] = second, keys[high] = first;
      }
      __syncthreads();
    }
  }
}

// Greedy NMS over boxes in order; fills `kept`, and says how many.
__device__ __forceinline__ int thin(const float4* boxes, u8* gone, u16* kept, int count, float iou) {
  int number = 0;
  for (int i = 0; i < count && number < PERSONS; ++i) {
    if (gone[i]) continue;  // the same for all threads: only later ones change from here on
    if (threadIdx.x == 0) kept[number] = u16(i);
    ++number;
    if (iou >= 1.0f) continue;
    const float4 best = boxes[i];
    for (int j = i + 1 + threadIdx.x; j < count; j += blockDim.x) {
      if (!gone[j] && overlaps(best, boxes[j], iou)) gone[j] = 1;
    }
    __syncthreads();
  }
  __syncthreads();
  return number;
}

template <typename T>
__device__ __forceinline__ void suppress(const Head* head, void* scratch, Result* results) {
  __shared__ u64 keys[CANDIDATES];
  __shared__ float4 boxes[CANDIDATES];
  __shared__ u8 gone[CANDIDATES];
  __shared__ u16 kept[PERSONS];
  __shared__ u32 filled, status;
  Scratch* own = scratch_of(scratch, head, blockIdx.x);
  Result* result = results + blockIdx.x;
  const int found = int(own->count), count = min(found, int(CANDIDATES));
  const u64 least = found > CANDIDATES ? least_taken(own->keys, found) : 0;
  for (int i = threadIdx.x; i < CANDIDATES; i += blockDim.x) keys[i] = 0, gone[i] = 0;
  if (threadIdx.x == 0) filled = 0, status = own->status | (found > CANDIDATES ? MANY : 0);
  __syncthreads();
  for (int i = threadIdx.x; i < found; i += blockDim.x) {
    const u64 key = own->keys[i];
    if (key >= least) keys[atomicAdd(&filled, 1u)] = key;
  }
  __syncthreads();
  int size = 1;
  while (size < count) size *= 2;
  sort(keys, size);
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    boxes[i] = decode<T>(head, blockIdx.x, index_of(keys[i]));
    if (wild(head, boxes[i])) atomicOr(&status, u32(WILD_BOXES));
  }
  __syncthreads();
  const int number = thin(boxes, gone, kept, count, head->iou);
  for (int k = threadIdx.x; k < number; k += blockDim.x) {
    const float4 box = boxes[kept[k]];
    float* row = result->rows[k];
    store(row, box.x), store(row + 1, box.y), store(row + 2, box.z), store(row + 3, box.w);
    store(row + 4, score_of(keys[kept[k]]));
  }
  if (threadIdx.x) return;
  store(&result->count, number), store(&result->status, int(status)), store(&result->candidates, found);
  own->count = own->status = 0;
}

extern "C" __global__ void __launch_bounds__(256) gather_f32(const Head* head, void* scratch) {
  gather<float>(head, scratch);
}
extern "C" __global__ void __launch_bounds__(256) gather_f16(const Head* head, void* scratch) {
  gather<u16>(head, scratch);
}
extern "C" __global__ void __launch_bounds__(512) suppress_f32(const Head* head, void* scratch, Result* results) {
  suppress<float>(head, scratch, results);
}
extern "C" __global__ void __launch_bounds__(512) suppress_f16(const Head* head, void* scratch, Result* results) {
  suppress<u16>(head, scratch, results);
}
