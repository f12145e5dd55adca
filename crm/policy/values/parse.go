package values

import (
	"math"
	"strings"

	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule/iso8601"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// Bool reads a boolean; ok is false for anything that is none (spec/01-inputs.md 2.1).
func Bool(s string) (v, ok bool) {
	switch strings.ToLower(s) {
	case "true", "on", "yes", "y", "1":
		return true, true
	case "false", "off", "no", "n", "0":
		return false, true
	}
	return false, false
}

// True reports whether s is a true boolean; unset and invalid are not.
func True(s string) bool { v, _ := Bool(s); return v }

// Integer reads the leading digits of s, clipped to the range of int64; ok is false when there are none
// (spec/01-inputs.md 2.2).
func Integer(s string) (v int64, ok bool) {
	v, n := leadingInteger(s)
	return v, n > 0
}

// leadingInteger reads optional blanks, a sign and digits, and returns how much of s that was; 0 = no number.
func leadingInteger(s string) (v int64, n int) {
	i := 0
	for i < len(s) && (s[i] == ' ' || (s[i] >= '\t' && s[i] <= '\r')) {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	start := i
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		d := int64(s[i] - '0')
		if v > (math.MaxInt64-d)/10 {
			v = math.MaxInt64
			continue
		}
		v = v*10 + d
	}
	if i == start {
		return 0, 0
	}
	if negative {
		v = -v
	}
	return v, i
}

// Score reads a score without the colours of node health; def where it is none (spec/01-inputs.md 2.3).
func Score(s string, def int32) int32 {
	if v, ok := parseScore(s); ok {
		return v
	}
	return def
}

func parseScore(s string) (int32, bool) {
	switch s {
	case "":
		return 0, false
	case "INFINITY", "+INFINITY":
		return model.Infinity, true
	case "-INFINITY":
		return model.MinInfinity, true
	}
	v, ok := Integer(s)
	if !ok {
		return 0, false
	}
	return int32(max(int64(model.MinInfinity), min(int64(model.Infinity), v))), true
}

// ScoreIn reads a score, the colours of node health included (spec/01-inputs.md 2.3); ok is false where it
// is none.
func ScoreIn(o *model.Options, s string) (v int32, ok bool) {
	if v, ok := parseScore(s); ok {
		return v, true
	}
	switch strings.ToLower(s) {
	case "red":
		return o.HealthRed, true
	case "yellow":
		return o.HealthYellow, true
	case "green":
		return o.HealthGreen, true
	}
	return 0, false
}

// maxMS is the largest duration that is kept, in milliseconds.
const maxMS = math.MaxUint32

// IntervalMS reads a duration or interval in milliseconds; unset, negative and invalid ones are 0
// (spec/01-inputs.md 2.4).
func IntervalMS(s string) int64 {
	if s == "" {
		return 0
	}
	if s[0] == 'P' {
		d, err := iso8601.ParseDuration(s)
		if err != nil {
			return 0
		}
		seconds := d.TotalSeconds()
		if seconds < 0 {
			return 0
		}
		return min(seconds, maxMS/1000) * 1000
	}
	ms, ok := unitMS(s)
	if !ok || ms < 0 {
		return 0
	}
	return min(ms, maxMS)
}

// TimeoutMS reads a timeout in milliseconds; what is missing, invalid or not positive is DefaultTimeoutMS
// (spec/01-inputs.md 2.4). Values are at most 2^31-1.
func TimeoutMS(s string) int64 {
	ms, ok := unitMS(s)
	if !ok || ms <= 0 {
		return DefaultTimeoutMS
	}
	return min(ms, math.MaxInt32)
}

func unitMS(s string) (int64, bool) {
	v, n := leadingInteger(s)
	if n == 0 {
		return 0, false
	}
	rest := s[n:]
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimLeft(rest[1:], "0123456789")
	}
	rest = strings.ToLower(strings.TrimLeft(rest, " \t\r\n\v\f"))
	times := int64(1000)
	switch {
	case rest == "", strings.HasPrefix(rest, "s"):
	case strings.HasPrefix(rest, "ms"):
		times = 1
	case strings.HasPrefix(rest, "us"):
		return v / 1000, true
	case strings.HasPrefix(rest, "m"):
		times = 60 * 1000
	case strings.HasPrefix(rest, "h"):
		times = 60 * 60 * 1000
	default:
		return 0, false
	}
	if v > math.MaxInt64/times {
		return math.MaxInt64, true
	}
	if v < math.MinInt64/times {
		return math.MinInt64, true
	}
	return v * times, true
}

// Seconds turns milliseconds into seconds as options given in seconds are read: anything above 0 is at
// least 1, halves are rounded up (spec/01-inputs.md 2.4).
func Seconds(ms int64) int64 {
	switch {
	case ms <= 0:
		return 0
	case ms < 1000:
		return 1
	}
	return (ms + 500) / 1000
}
