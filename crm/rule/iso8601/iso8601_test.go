package iso8601

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	now   = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	plus1 = time.FixedZone("", 3600)
	dates = map[string]string{ // text, read with zone UTC -> UTC
		"2005-020":                    "2005-01-20 00:00:00Z",
		"2005-020T":                   "2005-01-20 00:00:00Z",
		"2019-09-24":                  "2019-09-24 00:00:00Z",
		"2019-9-4":                    "2019-09-04 00:00:00Z",
		"20190924":                    "2019-09-24 00:00:00Z",
		"2019-W39-2":                  "2019-09-24 00:00:00Z",
		"2020-W53-7":                  "2021-01-03 00:00:00Z",
		"2016-W01-1":                  "2016-01-04 00:00:00Z",
		"epoch":                       "1970-01-01 00:00:00Z",
		"Epoch":                       "1970-01-01 00:00:00Z",
		"2019-09-24 00:30:00 +01:00":  "2019-09-23 23:30:00Z",
		"2019-09-24T00:30:00Z":        "2019-09-24 00:30:00Z",
		"2019-09-24T24:00:00Z":        "2019-09-25 00:00:00Z",
		"2019-12-31T24:00Z":           "2020-01-01 00:00:00Z",
		"2019-09-24T1":                "2019-09-24 01:00:00Z",
		"2019-09-24T12":               "2019-09-24 12:00:00Z",
		"2019-09-24T12:3":             "2019-09-24 12:03:00Z",
		"2019-09-24T12:30":            "2019-09-24 12:30:00Z",
		"2019-09-24T123045":           "2019-09-24 12:30:45Z",
		"2019-09-24T1230":             "2019-09-24 12:30:00Z",
		"2019-09-24T12:30:59.5":       "2019-09-24 12:30:59Z",
		"2019-09-24 12:30:00 GMT":     "2019-09-24 12:30:00Z",
		"2019-09-24 12:30:00 +1":      "2019-09-24 11:30:00Z",
		"2019-09-24T12:30:00  -03:00": "2019-09-24 15:30:00Z",
		"2019-01-24 12:30:00 +15:00":  "2019-01-23 21:30:00Z",
		"T12":                         "2026-11-21 12:00:00Z",
		"T":                           "2026-11-21 00:00:00Z",
		"12:30":                       "2026-11-21 12:30:00Z",
		"12:30:15Z":                   "2026-11-21 12:30:15Z",
		"2020-02-29":                  "2020-02-29 00:00:00Z",
		"2020-366":                    "2020-12-31 00:00:00Z",
		"9999-12-31":                  "9999-12-31 00:00:00Z",
		"0001-01-01":                  "0001-01-01 00:00:00Z",
	}
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	for text, want := range dates {
		got, err := ParseDate(text, now, nil)
		if err != nil {
			t.Errorf("ParseDate(%q): %v", text, err)
			continue
		}
		if f := Format(got.UTC(), Calendar); f != want {
			t.Errorf("ParseDate(%q) = %s, want %s", text, f, want)
		}
	}
}

func TestParseDate_Zone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2019-01-24T12:30":          "2019-01-24 12:30:00 +01:00",
		"2019-01-24":                "2019-01-24 00:00:00 +01:00",
		"2019-01-24T12:30Z":         "2019-01-24 12:30:00Z",
		"2019-01-24T12:30:00z":      "2019-01-24 12:30:00Z",
		"2019-01-24T12:30:00+02:00": "2019-01-24 12:30:00 +02:00", // counts, other than in Pacemaker 2.1.5
		"2019-01-24T12:30:00-0230":  "2019-01-24 12:30:00 -02:30",
		"epoch":                     "1970-01-01 00:00:00Z",
		"23:00":                     "2026-11-22 23:00:00 +01:00",
	} {
		got, err := ParseDate(text, time.Date(2026, 11, 21, 23, 30, 0, 0, time.UTC), plus1)
		if err != nil {
			t.Errorf("ParseDate(%q): %v", text, err)
			continue
		}
		if f := Format(got, Calendar); f != want {
			t.Errorf("ParseDate(%q) = %s, want %s", text, f, want)
		}
	}
}

func TestParseDate_Errors(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"":                           "empty",
		"   ":                        "empty",
		"2019":                       "expected YYYY-MM-DD",
		"2019-09":                    "expected YYYY-MM-DD",
		"2019267":                    "expected YYYY-MM-DD",
		"2019W392":                   "expected YYYY-MM-DD",
		"2019-W39":                   "expected YYYY-MM-DD",
		"2019-W00-1":                 "week 0 is outside 1-52",
		"2019-W53-1":                 "week 53 is outside 1-52",
		"2020-W53-8":                 "weekday 8 is outside 1-7",
		"2019-02-29":                 "day 29 is outside 1-28",
		"2019-13-01":                 "month 13 is outside 1-12",
		"2019-00-01":                 "month 0 is outside 1-12",
		"2019-366":                   "day 366 is outside 1-365",
		"2019-000":                   "day 0 is outside 1-365",
		"0000-01-01":                 "year 0000",
		"9999-W52-7":                 "outside the years",
		"10000-01-01":                "expected YYYY-MM-DD",
		"-2019-01-01":                "expected YYYY-MM-DD",
		"2019-09-24x":                "unexpected \"x\"",
		"2019-09-24t12:00":           "unexpected",
		"2019-09-24T24:00:01":        "hour 24",
		"2019-09-24T25":              "hour 25",
		"2019-09-24T12:60":           "minute 60",
		"2019-09-24T12:30:60":        "second 60",
		"2019-09-24T12:3045":         "expected a time",
		"2019-09-24T123":             "expected a time",
		"2019-09-24T12:30:00x":       "expected \"Z\"",
		"2019-09-24T12:30:00Zx":      "expected \"Z\"",
		"2019-09-24T12:30:00 +24:00": "offset +24:00 is outside",
		"2019-09-24T12:30:00 +01:60": "offset +01:60 is outside",
		"2019-09-24T12:30:00 +":      "expected \"Z\"",
		"2019-09-24T12:30:00 +01:5x": "expected \"Z\"",
		"2019/09/24":                 "expected YYYY-MM-DD",
		strings.Repeat("9", 300):     "longer than 256",
	} {
		_, err := ParseDate(text, now, nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Why, why) {
			t.Errorf("ParseDate(%.40q) error = %v, want %q", text, err, why)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		print string
		secs  int64
	}{
		"P1Y":            {"P1Y", 365 * 86400},
		"P1M":            {"P1M", 30 * 86400},
		"P1W":            {"P1W", 7 * 86400},
		"PT1M":           {"PT1M", 60},
		"P1Y2M3DT4H5M6S": {"P1Y2M3DT4H5M6S", (365+60+3)*86400 + 4*3600 + 5*60 + 6},
		"PT":             {"PT0S", 0},
		"P0D":            {"PT0S", 0},
		"P-1D":           {"P-1D", -86400},
		"P1H":            {"PT1H", 3600},
		"P1DT1D":         {"P2D", 2 * 86400},
		"P2M3M":          {"P3M", 90 * 86400},
		"P1YT1M1H":       {"P1YT1H1M", 365*86400 + 3660},
		" P1D ":          {"P1D", 86400},
		"P999999999Y":    {"P999999999Y", 999999999 * 365 * 86400},
	} {
		d, err := ParseDuration(text)
		if err != nil {
			t.Errorf("ParseDuration(%q): %v", text, err)
			continue
		}
		if d.String() != want.print || d.TotalSeconds() != want.secs {
			t.Errorf("ParseDuration(%q) = %s, %d s, want %s, %d s", text, d, d.TotalSeconds(), want.print, want.secs)
		}
	}
	for text, why := range map[string]string{
		"": "expected \"P\"", "P": "no field", "P1": "no unit", "P1.5D": "unknown unit", "P1X": "unknown unit",
		"p1y": "expected \"P\"", "1D": "expected \"P\"", "PD": "expected a whole number", "P1Yx": "expected a whole number",
		"P1000000000D": "larger than", "P" + strings.Repeat("1D", 200): "longer than",
	} {
		if _, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ParseDuration(%.20q) error = %v, want %q", text, err, why)
		}
	}
}

var periods = map[string]string{
	"2005-040/2005-043":           "2005-02-09 00:00:00Z to 2005-02-12 00:00:00Z",
	"2005-040/P1M":                "2005-02-09 00:00:00Z to 2005-03-09 00:00:00Z",
	"P1M/2005-040":                "2005-01-09 00:00:00Z to 2005-02-09 00:00:00Z",
	"2005-01-31/P1M":              "2005-01-31 00:00:00Z to 2005-02-28 00:00:00Z",
	"P1M/2005-03-31":              "2005-02-28 00:00:00Z to 2005-03-31 00:00:00Z",
	"2005-01-31/P1M1D":            "2005-01-31 00:00:00Z to 2005-03-01 00:00:00Z",
	"2005-01-30/P13M":             "2005-01-30 00:00:00Z to 2006-02-28 00:00:00Z",
	"2004-02-29/P1Y":              "2004-02-29 00:00:00Z to 2005-03-01 00:00:00Z",
	"2004-03-01/P1Y":              "2004-03-01 00:00:00Z to 2005-03-02 00:00:00Z",
	"2004-12-31/P1Y":              "2004-12-31 00:00:00Z to 2005-12-31 00:00:00Z",
	"2003-12-31/P1Y":              "2003-12-31 00:00:00Z to 2004-12-30 00:00:00Z",
	"P1Y/2005-03-01":              "2004-02-29 00:00:00Z to 2005-03-01 00:00:00Z",
	"2005-043/2005-040":           "2005-02-12 00:00:00Z to 2005-02-09 00:00:00Z",
	"2005-040/PT1H":               "2005-02-09 00:00:00Z to 2005-02-09 01:00:00Z",
	"2005-12-31/P1Y2M3W4DT5H6M7S": "2005-12-31 00:00:00Z to 2007-03-25 05:06:07Z",
	"P1Y2M3W4DT5H6M7S/2005-12-31": "2004-10-04 18:53:53Z to 2005-12-31 00:00:00Z",
}

func TestParsePeriod(t *testing.T) {
	t.Parallel()
	for text, want := range periods {
		p, err := ParsePeriod(text, now, nil)
		if err != nil {
			t.Errorf("ParsePeriod(%q): %v", text, err)
			continue
		}
		if got := Format(p.Start, Calendar) + " to " + Format(p.End, Calendar); got != want {
			t.Errorf("ParsePeriod(%q) = %s, want %s", text, got, want)
		}
	}
	if p, err := ParsePeriod("P1M", now, nil); err != nil || !p.Start.Equal(now) || !p.End.Equal(now.AddDate(0, 1, 0)) {
		t.Errorf("ParsePeriod(P1M) = %v, %v, want a month from now", p, err)
	}
	for _, text := range []string{"", "2005-040", "/2005-043", "2005-040/", "2005-040/2005-043/2005-044", "P1X", "P1X/2005-040", "P1D/x", "2005-040/P", strings.Repeat("x", 300)} {
		if p, err := ParsePeriod(text, now, nil); err == nil {
			t.Errorf("ParsePeriod(%.30q) = %v, want an error", text, p)
		}
	}
}

func TestAddTo_StopsAtTheEnds(t *testing.T) {
	t.Parallel()
	last := "9999-12-31 23:59:59Z"
	first := "0001-01-01 00:00:00Z"
	for text, want := range map[string]string{
		"P8000Y": last, "P96000M": last, "P999999999D": last, "P-8000Y": first, "P-96000M": first, "P-999999999D": first,
	} {
		d, err := ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Format(d.AddTo(now), Calendar); got != want {
			t.Errorf("%s.AddTo(now) = %s, want %s", text, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	at := time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)
	for style, want := range map[Style]string{Calendar: "1969-12-31 23:59:59Z", Ordinal: "1969-365 23:59:59Z", Week: "1970-W01-3 23:59:59Z"} {
		if got := Format(at, style); got != want {
			t.Errorf("Format(style %d) = %s, want %s", style, got, want)
		}
	}
	if got := Format(at.In(time.FixedZone("", -5400)), Calendar); got != "1969-12-31 22:29:59 -01:30" {
		t.Errorf("Format() with an offset = %s", got)
	}
}

func TestParseRange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"8": "8", "8-17": "8 9 10 17", "8-": "8 9 10 17 99", "-8": "0 8", "17-8": "", " 8 - 9 ": "8 9", "0-0": "0",
	} {
		r, err := ParseRange(text)
		if err != nil {
			t.Errorf("ParseRange(%q): %v", text, err)
			continue
		}
		var got []string
		for _, n := range []struct {
			n int64
			s string
		}{{0, "0"}, {8, "8"}, {9, "9"}, {10, "10"}, {17, "17"}, {99, "99"}} {
			if r.Contains(n.n) {
				got = append(got, n.s)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("ParseRange(%q) contains %v, want %s", text, got, want)
		}
		if r.Empty() != (want == "") {
			t.Errorf("ParseRange(%q).Empty() = %v", text, r.Empty())
		}
	}
	for _, text := range []string{"", "-", "x", "8x", "x-8", "8-x", "8-9-10", "+8", "8--9", "8.5", "99999999999", strings.Repeat("1", 300)} {
		if r, err := ParseRange(text); err == nil {
			t.Errorf("ParseRange(%.20q) = %v, want an error", text, r)
		}
	}
}

// Goal: what Format writes, ParseDate reads back, in each style.
func TestFormat_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secs := rapid.Int64Range(-62135596800+200000*86400/1000, 253402300799-86400).Draw(t, "seconds")
		offset := rapid.IntRange(-23*60-59, 23*60+59).Draw(t, "offset minutes")
		at := time.Unix(secs, 0).In(time.FixedZone("", offset*60))
		style := Style(rapid.IntRange(0, 2).Draw(t, "style"))
		text := Format(at, style)
		if style == Week && strings.HasPrefix(text, "10000") {
			return
		}
		got, err := ParseDate(text, now, nil)
		if err != nil || !got.Equal(at) {
			t.Fatalf("ParseDate(%q) = %v, %v, want %v", text, got, err, at)
		}
	})
}

// Goal: with durations of days and below, subtracting undoes adding.
func TestSubtractFrom_UndoesAddTo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-5000, 5000)
		d := Duration{Weeks: n.Draw(t, "w"), Days: n.Draw(t, "d"), Hours: n.Draw(t, "h"), Minutes: n.Draw(t, "m"), Seconds: n.Draw(t, "s")}
		if got := d.SubtractFrom(d.AddTo(now)); !got.Equal(now) {
			t.Fatalf("%s: %v, want %v", d, got, now)
		}
	})
}

func FuzzParse(f *testing.F) {
	for text := range dates {
		f.Add(text)
	}
	for text := range periods {
		f.Add(text)
	}
	f.Add("P1Y2M3DT4H5M6S")
	f.Add("8-17")
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := ParseDate(text, now, plus1); err == nil && (at.Year() < 0 || at.Year() > 10000) {
			t.Errorf("ParseDate(%q) = %v", text, at)
		}
		if d, err := ParseDuration(text); err == nil {
			if y := d.AddTo(now).Year(); y < 1 || y > 9999 {
				t.Errorf("%q added: year %d", text, y)
			}
			back, err := ParseDuration(d.String())
			if err == nil && back != d {
				t.Errorf("%q printed as %s reads as %+v, want %+v", text, d, back, d)
			}
		}
		_, _ = ParsePeriod(text, now, plus1)
		if r, err := ParseRange(text); err == nil && !r.HasLow && !r.HasHigh {
			t.Errorf("ParseRange(%q) has no end", text)
		}
		_, _ = ParseCount(text)
	})
}

// Goal: agree with Pacemaker's own tool, as a black box, on every value that both read.
func TestAgainstPacemaker(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("iso8601")
	if err != nil {
		t.Skip("the iso8601 tool of pacemaker-cli-utils is not installed")
	}
	run := func(flag, text string) (string, bool) {
		cmd := exec.Command(tool, flag, text)
		cmd.Env = []string{"TZ=UTC"}
		out, err := cmd.Output()
		_, value, _ := strings.Cut(strings.TrimSpace(string(out)), ": ")
		return value, err == nil
	}
	for text := range dates {
		if strings.HasPrefix(text, "T") || strings.Index(text, ":") == 2 {
			continue // relative to the tool's real clock
		}
		got, err := ParseDate(text, now, nil)
		if err != nil {
			t.Errorf("ParseDate(%q): %v", text, err)
			continue
		}
		if want, ok := run("-d", text); ok && Format(got.UTC(), Calendar) != want {
			t.Errorf("ParseDate(%q) = %s, Pacemaker says %s", text, Format(got.UTC(), Calendar), want)
		}
	}
	for text := range periods {
		p, err := ParsePeriod(text, now, nil)
		if err != nil {
			t.Errorf("ParsePeriod(%q): %v", text, err)
			continue
		}
		got := Format(p.Start, Calendar) + " to " + Format(p.End, Calendar)
		if want, ok := run("-p", text); ok && got != want {
			t.Errorf("ParsePeriod(%q) = %s, Pacemaker says %s", text, got, want)
		}
	}
}
