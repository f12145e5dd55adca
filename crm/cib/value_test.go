package cib

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseScore(t *testing.T) {
	t.Parallel()
	colours := HealthColours{Red: -Infinity, Yellow: -5, Green: 7}
	for _, c := range []struct {
		text string
		want Score
		bad  bool
	}{
		{text: "0"}, {text: "-0"}, {text: "+12", want: 12}, {text: "12abc", want: 12}, {text: "1.9", want: 1},
		{text: "INFINITY", want: Infinity}, {text: "+INFINITY", want: Infinity}, {text: "-INFINITY", want: -Infinity},
		{text: "infinity", bad: true}, {text: "-inf", bad: true}, {text: "", bad: true}, {text: "-", bad: true},
		{text: "1000001", want: Infinity}, {text: "-99999999999999999999999", want: -Infinity},
		{text: "RED", want: -Infinity}, {text: "yellow", want: -5}, {text: "Green", want: 7}, {text: "redd", bad: true},
	} {
		got, err := colours.Parse(c.text)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("Parse(%q) = %v, %v, want %v, error %v", c.text, got, err, c.want, c.bad)
		}
	}
}

func TestScore_Add(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want Score }{
		{1, 2, 3}, {Infinity, -Infinity, -Infinity}, {-Infinity, Infinity, -Infinity}, {Infinity, -5, Infinity},
		{999999, 2, Infinity}, {-999999, -2, -Infinity}, {math.MaxInt32, math.MaxInt32, Infinity}, {math.MinInt32, 1, -Infinity},
	} {
		if got := c.a.Add(c.b); got != c.want {
			t.Errorf("%d.Add(%d) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := Score(rapid.Int32().Draw(t, "a"))
		b := Score(rapid.Int32().Draw(t, "b"))
		if a.Add(b) != b.Add(a) {
			t.Fatalf("Add is not commutative for %d, %d", a, b)
		}
		if s := a.Add(b); s < -Infinity || s > Infinity {
			t.Fatalf("%d.Add(%d) = %d is out of bounds", a, b, s)
		}
		if back, err := ParseScore(a.Add(b).String()); err != nil || back != a.Add(b) {
			t.Fatalf("ParseScore(String()) = %v, %v, want %v", back, err, a.Add(b))
		}
	})
}

func TestParseBool(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"true": "true", "ON": "true", "Yes": "true", "y": "true", "1": "true",
		"false": "false", "Off": "false", "NO": "false", "n": "false", "0": "false",
		"": "", "2": "", "t": "", "truee": "", "enabled": "", " true": "",
	} {
		v, err := ParseBool(text)
		got := ""
		if err == nil {
			got = map[bool]string{true: "true", false: "false"}[v]
		}
		if got != want {
			t.Errorf("ParseBool(%q) = %q, want %q", text, got, want)
		}
		if IsTrue(text) != (want == "true") || IsFalse(text) != (want == "false") {
			t.Errorf("IsTrue, IsFalse(%q) = %v, %v", text, IsTrue(text), IsFalse(text))
		}
	}
}

func TestParseInteger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want int64
		bad  bool
	}{
		{text: "12", want: 12}, {text: " -7x", want: -7}, {text: "9223372036854775807", want: math.MaxInt64},
		{text: "9223372036854775808", want: math.MaxInt64}, {text: "-9223372036854775808", want: math.MinInt64},
		{text: strings.Repeat("9", 400), want: math.MaxInt64}, {text: "-" + strings.Repeat("9", 400), want: math.MinInt64},
		{text: "", bad: true}, {text: "abc", bad: true}, {text: "+", bad: true}, {text: " ", bad: true}, {text: "- 5", bad: true},
	} {
		got, err := ParseInteger(c.text)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("ParseInteger(%q) = %v, %v, want %v, error %v", c.text, got, err, c.want, c.bad)
		}
	}
}

func TestParseInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want int64
		bad  bool
	}{
		{text: ""}, {text: "0"}, {text: "10", want: 10000}, {text: "10s", want: 10000}, {text: "1.5s", want: 1000},
		{text: "10 sec", want: 10000}, {text: "250ms", want: 250}, {text: "250MSEC", want: 250}, {text: "2500us", want: 2},
		{text: "2m", want: 120000}, {text: "2min", want: 120000}, {text: "1h", want: 3600000}, {text: "1hr", want: 3600000},
		{text: "PT1H30M", want: 5400000}, {text: "P1Y", want: 31536000000}, {text: "P1M", want: 2592000000},
		{text: "-5s", bad: true}, {text: "5x", bad: true}, {text: "s", bad: true}, {text: "P", bad: true}, {text: "PT-5S", bad: true},
		{text: "99999999h", want: MaxInterval}, {text: "P999999999Y", want: MaxInterval},
	} {
		want := min(c.want, MaxInterval)
		got, err := ParseInterval(c.text)
		if got != want || (err != nil) != c.bad {
			t.Errorf("ParseInterval(%q) = %v, %v, want %v, error %v", c.text, got, err, want, c.bad)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want int64
		bad  bool
	}{
		{text: "", want: 20000}, {text: "30", want: 30000}, {text: "30s", want: 30000}, {text: "2min", want: 120000},
		{text: "0", want: 20000, bad: true}, {text: "-1", want: 20000, bad: true}, {text: "PT1S", want: 20000, bad: true}, {text: "x", want: 20000, bad: true},
		{text: "99999999h", want: MaxInterval},
	} {
		got, err := ParseTimeout(c.text)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("ParseTimeout(%q) = %v, %v, want %v, error %v", c.text, got, err, c.want, c.bad)
		}
	}
}

func TestSeconds(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]int64{-1: 0, 0: 0, 1: 1, 999: 1, 1000: 1, 1499: 1, 1500: 2, MaxInterval: 4294967} {
		if got := Seconds(ms); got != want {
			t.Errorf("Seconds(%d) = %d, want %d", ms, got, want)
		}
	}
}

func TestParseRole(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Role{
		"stopped": RoleStopped, "Started": RoleStarted, "SLAVE": RoleUnpromoted, "unpromoted": RoleUnpromoted,
		"Master": RolePromoted, "promoted": RolePromoted, "Unknown": RoleUnknown,
	} {
		if got, err := ParseRole(text); got != want || err != nil {
			t.Errorf("ParseRole(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "primary", "Star"} {
		if got, err := ParseRole(text); got != RoleUnknown || err == nil {
			t.Errorf("ParseRole(%q) = %v, %v, want an error", text, got, err)
		}
	}
	if got := Role(9).String(); got != "Role(9)" {
		t.Errorf("String() = %q", got)
	}
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"alpha": true, "n1.example.com": true, "A_b-3": true, "": false, "-x": false, ".x": false, "a b": false,
		"a/b": false, "ä": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "a\n": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}
