package values

import (
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// True reports whether s is a true boolean; unset and invalid are not.
func True(s string) bool { return cib.IsTrue(s) }

// Bool reads a boolean; ok is false for anything that is none (spec/01-inputs.md 2.1).
func Bool(s string) (v, ok bool) {
	if s == "" {
		return false, false
	}
	v, err := cib.ParseBool(s)
	return v, err == nil
}

// Integer reads the leading digits of s, clipped to the range of int64; ok is false when there are none
// (spec/01-inputs.md 2.2).
func Integer(s string) (v int64, ok bool) {
	if s == "" {
		return 0, false
	}
	v, err := cib.ParseInteger(s)
	return v, err == nil
}

// Score reads a score without the colours of node health; def where it is none (spec/01-inputs.md 2.3).
func Score(s string, def int32) int32 {
	if s == "" {
		return def
	}
	v, err := cib.ParseScore(s)
	if err != nil {
		return def
	}
	return int32(v)
}

// ScoreIn reads a score, the colours of node health included (spec/01-inputs.md 2.3); ok is false where it
// is none.
func ScoreIn(o *model.Options, s string) (v int32, ok bool) {
	if s == "" {
		return 0, false
	}
	colours := cib.HealthColours{Red: cib.Score(o.HealthRed), Yellow: cib.Score(o.HealthYellow), Green: cib.Score(o.HealthGreen)}
	n, err := colours.Parse(s)
	if err != nil {
		return 0, false
	}
	return int32(n), true
}

// IntervalMS reads a duration or interval in milliseconds; unset, negative and invalid ones are 0
// (spec/01-inputs.md 2.4).
func IntervalMS(s string) int64 {
	if s == "" || s == "0" {
		return 0
	}
	ms, err := cib.ParseInterval(s)
	if err != nil {
		return 0
	}
	return ms
}

// TimeoutMS reads a timeout in milliseconds; what is missing, invalid or not positive is
// cib.DefaultTimeout. Values are at most 2^31-1 (spec/04-actions.md 3.2).
func TimeoutMS(s string) int64 {
	ms, err := cib.ParseTimeout(s)
	if err != nil {
		return cib.DefaultTimeout
	}
	return min(ms, 1<<31-1)
}

// Seconds turns milliseconds into seconds as options given in seconds are read (spec/01-inputs.md 2.4).
func Seconds(ms int64) int64 { return cib.Seconds(ms) }
