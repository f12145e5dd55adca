package cib

import (
	"fmt"
	"math"
	"strings"

	"github.com/quorate/quorate/crm/rule/iso8601"
)

// MaxInterval is the longest interval or timeout in milliseconds; longer ones are clipped to it.
const MaxInterval int64 = math.MaxUint32

// DefaultTimeout is the timeout in milliseconds where none, or an invalid one, is given.
const DefaultTimeout int64 = 20000

// ParseInterval reads a duration (spec/01-inputs.md 2.4) and returns milliseconds, 0 to MaxInterval: an
// ISO 8601 duration such as "PT1H30M", or an integer (a fraction is ignored) with an optional unit: s, ms,
// us, m or h, seconds without one. "" is 0. Negative and unreadable text is 0 with an error.
func ParseInterval(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if text[0] == 'P' {
		d, err := iso8601.ParseDuration(text)
		if err != nil {
			return 0, err
		}
		days := satAdd(satAdd(satMul(d.Years, 365), satMul(d.Months, 30)), satAdd(satMul(d.Weeks, 7), d.Days))
		seconds := satAdd(satAdd(satMul(days, 86400), satMul(d.Hours, 3600)), satAdd(satMul(d.Minutes, 60), d.Seconds))
		if seconds < 0 {
			return 0, fmt.Errorf("duration %q: expected a duration that is not negative", text)
		}
		return min(satMul(seconds, 1000), MaxInterval), nil
	}
	ms, ok := parseAmount(text)
	if !ok {
		return 0, fmt.Errorf("duration %q: expected a number with s, ms, us, m or h, such as 10s, or an ISO 8601 duration", text)
	}
	if ms < 0 {
		return 0, fmt.Errorf("duration %q: expected a duration that is not negative", text)
	}
	return min(ms, MaxInterval), nil
}

// ParseTimeout reads a timeout as ParseInterval does, without the ISO 8601 form, and returns milliseconds.
// Missing, unreadable or not above zero is DefaultTimeout; the error then says what is wrong with text
// (nil for missing).
func ParseTimeout(text string) (int64, error) {
	if text == "" {
		return DefaultTimeout, nil
	}
	ms, ok := parseAmount(text)
	if !ok {
		return DefaultTimeout, fmt.Errorf("timeout %q: expected a number with s, ms, us, m or h, such as 20s", text)
	}
	if ms <= 0 {
		return DefaultTimeout, fmt.Errorf("timeout %q: expected a timeout above zero", text)
	}
	return min(ms, MaxInterval), nil
}

// Seconds converts milliseconds to seconds where a duration is used in seconds: less than a second but not
// nothing is one second, else half a second is rounded up.
func Seconds(ms int64) int64 {
	switch {
	case ms <= 0:
		return 0
	case ms < 1000:
		return 1
	}
	return satAdd(ms, 500) / 1000
}

// parseAmount reads an integer with a unit and returns milliseconds.
func parseAmount(text string) (ms int64, ok bool) {
	n, rest := leadingInteger(text)
	if len(rest) == len(text) {
		return 0, false
	}
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimLeft(rest[1:], "0123456789")
	}
	unit := strings.ToLower(trimSpace(rest))
	switch {
	case unit == "", strings.HasPrefix(unit, "s"):
		return satMul(n, 1000), true
	case strings.HasPrefix(unit, "ms"):
		return n, true
	case strings.HasPrefix(unit, "us"):
		return n / 1000, true
	case strings.HasPrefix(unit, "m"):
		return satMul(n, 60000), true
	case strings.HasPrefix(unit, "h"):
		return satMul(n, 3600000), true
	}
	return 0, false
}

func satAdd(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// satMul multiplies a by the positive factor f.
func satMul(a, f int64) int64 {
	switch {
	case a > math.MaxInt64/f:
		return math.MaxInt64
	case a < math.MinInt64/f:
		return math.MinInt64
	}
	return a * f
}
