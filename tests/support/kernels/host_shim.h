// Enough of CUDA for the kernels to be host C++: threads of a block as fibers, one after the other in an order of
// choice, that change over at each barrier; loads and stores are counted. One grid at a time, in one thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include <ucontext.h>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct dim3 {
  u32 x = 1, y = 1, z = 1;
};
struct float2 {
  float x, y;
};
struct float3 {
  float x, y, z;
};
struct float4 {
  float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline thread_local dim3 gridDim, blockDim, blockIdx, threadIdx;

using std::max;
using std::min;

template <typename To, typename From>
inline To bits_as(From from) {
  To to;
  static_assert(sizeof to == sizeof from, "");
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline u32 __float_as_uint(float value) { return bits_as<u32>(value); }
inline float __uint_as_float(u32 bits) { return bits_as<float>(bits); }

inline u32 atomicAdd(u32* place, u32 value) { return std::exchange(*place, *place + value); }
inline u32 atomicOr(u32* place, u32 value) { return std::exchange(*place, *place | value); }

// IEEE 754 binary16, to nearest, ties to even.
inline float half_value(u16 bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value = exponent ? std::ldexp(float(fraction | 1024), exponent - 25) : std::ldexp(float(fraction), -24);
  if (exponent == 31) value = fraction ? NAN : INFINITY;
  return bits & 0x8000 ? -value : value;
}

inline u16 half_bits(float value) {
  const u16 sign = u16(__float_as_uint(value) >> 16 & 0x8000);
  const float size = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7e00;
  if (size >= 65520.0f) return sign | 0x7c00;
  const int exponent = std::max(size > 0.0f ? std::ilogb(size) : -14, -14);
  // Counted in units of the last place; a carry out of the fraction lands in the exponent, as it should.
  const int units = int(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return u16(sign | (units < 1024 ? units : units + ((exponent + 14) << 10)));
}

namespace shim {

constexpr u64 kSector = 32;  // bytes that memory moves at least

struct Traffic {
  u64 sectors_by_block, sectors, loads, loaded, stores, stored, lowest, highest;
};

inline bool counting = false;
inline Traffic traffic{};
inline std::vector<u64> of_block, of_grid;

inline u64 distinct(std::vector<u64>& sectors) {
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  return sectors.size();
}

inline void on_load(const void* address, size_t bytes) {
  if (!counting) return;
  const u64 first = u64(address), last = first + bytes - 1;
  for (u64 sector = first / kSector; sector <= last / kSector; ++sector) of_block.push_back(sector);
  ++traffic.loads, traffic.loaded += bytes;
  traffic.lowest = min(traffic.lowest, first), traffic.highest = max(traffic.highest, last);
}

inline void on_store(size_t bytes) {
  if (counting) ++traffic.stores, traffic.stored += bytes;
}

inline void begin_grid(bool count) {
  counting = count, traffic = {}, traffic.lowest = ~0ull;
  of_grid.clear(), of_block.clear();
}

inline void end_block() {
  if (!counting) return;
  traffic.sectors_by_block += distinct(of_block);
  of_grid.insert(of_grid.end(), of_block.begin(), of_block.end());
  of_block.clear();
}

inline void end_grid() {
  if (counting) traffic.sectors = distinct(of_grid);
}

// The fibers of a block.
constexpr size_t kStack = 64 << 10;
struct Fiber {
  ucontext_t context;
  dim3 thread;
  bool done, waiting;
};
inline std::vector<Fiber> fibers;
inline std::vector<char> stacks;
inline ucontext_t scheduler;
inline Fiber* running = nullptr;
inline void (*body)(void*) = nullptr;
inline void* body_argument = nullptr;

inline void enter() {
  body(body_argument);
  running->done = true;  // returns to the scheduler: uc_link
}

inline void barrier() {
  running->waiting = true;
  swapcontext(&running->context, &scheduler);
}

// The threads of one block until all have returned; false when some wait at a barrier that others never reach.
inline bool run_block(const std::vector<dim3>& threads) {
  fibers.assign(threads.size(), Fiber{});
  stacks.resize(threads.size() * kStack);
  for (size_t i = 0; i < threads.size(); ++i) {
    getcontext(&fibers[i].context);
    fibers[i].context.uc_stack.ss_sp = stacks.data() + i * kStack;
    fibers[i].context.uc_stack.ss_size = kStack;
    fibers[i].context.uc_link = &scheduler;
    fibers[i].thread = threads[i];
    makecontext(&fibers[i].context, enter, 0);
  }
  for (;;) {
    size_t done = 0;
    for (Fiber& fiber : fibers) {
      running = &fiber, fiber.waiting = false, threadIdx = fiber.thread;
      swapcontext(&scheduler, &fiber.context);
      done += fiber.done;
    }
    if (done == fibers.size()) return true;
    if (done) return false;
  }
}

// `order`: 0 first thread first, 1 last first, more: shuffled with that seed. Without `cooperative` a barrier is
// an error that the kernel must not make.
template <typename Call>
bool run_grid(const u32* grid, const u32* block, int order, bool cooperative, Call call) {
  gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
  std::vector<dim3> threads;
  for (u32 z = 0; z < block[2]; ++z)
    for (u32 y = 0; y < block[1]; ++y)
      for (u32 x = 0; x < block[0]; ++x) threads.push_back({x, y, z});
  if (order == 1) std::reverse(threads.begin(), threads.end());
  if (order > 1) std::shuffle(threads.begin(), threads.end(), std::mt19937(order));
  body = [](void* argument) { (*static_cast<Call*>(argument))(); };
  body_argument = &call;
  for (u32 z = 0; z < grid[2]; ++z)
    for (u32 y = 0; y < grid[1]; ++y)
      for (u32 x = 0; x < grid[0]; ++x) {
        blockIdx = {x, y, z};
        if (cooperative) {
          if (!run_block(threads)) return false;
        } else {
          for (const dim3& thread : threads) threadIdx = thread, call();
        }
        end_block();
      }
  return true;
}

// A kernel behind cuLaunchKernel's convention: an array of pointers to its arguments.
template <auto Kernel>
struct Entry;
template <typename... Args, void (*Kernel)(Args...)>
struct Entry<Kernel> {
  template <size_t... I>
  static bool unpack(const u32* grid, const u32* block, void** args, int order, bool cooperative,
                     std::index_sequence<I...>) {
    return run_grid(grid, block, order, cooperative, [&] { Kernel(*static_cast<Args*>(args[I])...); });
  }
  static bool launch(const u32* grid, const u32* block, void** args, int order, bool cooperative) {
    return unpack(grid, block, args, order, cooperative, std::index_sequence_for<Args...>{});
  }
};

}  // namespace shim

inline void __syncthreads() { shim::barrier(); }

template <typename T>
inline T load(const T* address) {
  shim::on_load(address, sizeof(T));
  return *address;
}

template <typename T>
inline void store(T* address, T value) {
  shim::on_store(sizeof(T));
  *address = value;
}

#define HOST_KERNEL(space, kernel)                                                                             \
  extern "C" int launch_##space##_##kernel(const u32* grid, const u32* block, void** args, int order,          \
                                           int cooperative, int count, shim::Traffic* traffic) {               \
    shim::begin_grid(count);                                                                                   \
    const bool whole = shim::Entry<space::kernel>::launch(grid, block, args, order, cooperative);              \
    shim::end_grid();                                                                                          \
    if (traffic) *traffic = shim::traffic;                                                                     \
    return whole ? 0 : 1;                                                                                      \
  }
