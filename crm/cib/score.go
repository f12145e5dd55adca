package cib

import (
	"fmt"
	"strconv"
	"strings"
)

// Score is a bounded integer with infinity: -Infinity to Infinity (spec/01-inputs.md 2.3).
type Score int32

// Infinity is the score that outweighs every finite one.
const Infinity Score = 1000000

// Add adds two scores. The result saturates, and minus infinity wins over infinity.
func (s Score) Add(t Score) Score {
	if s <= -Infinity || t <= -Infinity {
		return -Infinity
	}
	if s >= Infinity || t >= Infinity {
		return Infinity
	}
	return clampScore(int64(s) + int64(t))
}

func clampScore(n int64) Score {
	return Score(min(max(n, -int64(Infinity)), int64(Infinity)))
}

// String returns INFINITY, -INFINITY or the decimal number.
func (s Score) String() string {
	switch {
	case s >= Infinity:
		return "INFINITY"
	case s <= -Infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(int(s))
}

// HealthColours are the scores that the words red, yellow and green stand for (spec/01-inputs.md 4.2). The
// zero value is that of node-health-strategy=none.
type HealthColours struct{ Red, Yellow, Green Score }

// ParseScore reads a score: INFINITY, +INFINITY or -INFINITY (in capitals), or an integer as ParseInteger
// reads it, clipped to the bounds. The words red, yellow and green are 0; see HealthColours.Parse.
func ParseScore(text string) (Score, error) { return HealthColours{}.Parse(text) }

// Parse reads a score as ParseScore does; the words red, yellow and green, in any case, have the values of c.
func (c HealthColours) Parse(text string) (Score, error) {
	switch text {
	case "INFINITY", "+INFINITY":
		return Infinity, nil
	case "-INFINITY":
		return -Infinity, nil
	}
	switch {
	case strings.EqualFold(text, "red"):
		return c.Red, nil
	case strings.EqualFold(text, "yellow"):
		return c.Yellow, nil
	case strings.EqualFold(text, "green"):
		return c.Green, nil
	}
	n, err := ParseInteger(text)
	if err != nil {
		return 0, fmt.Errorf("score %q: expected a whole number, INFINITY or -INFINITY", text)
	}
	return clampScore(n), nil
}
