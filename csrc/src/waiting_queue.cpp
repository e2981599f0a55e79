#include "warpgroup/waiting_queue.hpp"

namespace warpgroup {

// The length known at submission. Where all requests share one max_new_tokens this is also the
// order of the predicted peaks, and unlike those it never changes while a request waits.
bool WaitingQueue::LongerFirst::operator()(const Sequence* a, const Sequence* b) const {
  const auto length = [](const Sequence* s) {
    return s->request.prompt_tokens + s->request.max_new_tokens;
  };
  if (length(a) != length(b)) return length(a) > length(b);
  return a->ticket < b->ticket;
}

void WaitingQueue::push_back(Sequence* sequence) {
  sequence->place = by_arrival_.insert(by_arrival_.end(), sequence);
  if (by_length_wanted_) by_length_.insert(sequence);
}

void WaitingQueue::push_front(Sequence* sequence) {
  sequence->place = by_arrival_.insert(by_arrival_.begin(), sequence);
  if (by_length_wanted_) by_length_.insert(sequence);
}

void WaitingQueue::remove(Sequence* sequence) {
  by_arrival_.erase(sequence->place);
  by_length_.erase(sequence);
}

}  // namespace warpgroup
