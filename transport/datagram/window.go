package datagram

// windowSize is how far behind the newest counter a packet may come and still be accepted.
const windowSize = 1024

// The bitmap has one word more than the window, so that the words that the window leaves can be cleared as whole words (RFC 6479, 2.2).
const (
	wordBits    = 64
	windowWords = windowSize/wordBits + 1
)

// window remembers which counters were seen. The zero value has seen none. Counter 0 is never accepted.
type window struct {
	top  uint64
	bits [windowWords]uint64
}

// accept reports whether a counter is new, and remembers it. It must be called only for authentic packets.
func (w *window) accept(counter uint64) bool {
	if counter == 0 || w.top >= windowSize && counter <= w.top-windowSize {
		return false
	}
	word, bit := counter/wordBits, uint64(1)<<(counter%wordBits)
	if counter > w.top {
		old := w.top / wordBits
		for i := range min(word-old, windowWords) {
			w.bits[(old+1+i)%windowWords] = 0
		}
		w.top = counter
	}
	if w.bits[word%windowWords]&bit != 0 {
		return false
	}
	w.bits[word%windowWords] |= bit
	return true
}
