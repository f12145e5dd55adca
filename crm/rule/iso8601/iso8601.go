// Package iso8601 reads and writes the dates, durations, periods and number ranges of a cluster document
// (spec/01-inputs.md sections 2.5, 2.6 and 8.2).
//
// The package is pure: the present time and the local zone are passed in. Dates have a resolution of one
// second and lie in the years 1 to 9999; calculations that would leave these years stop at their ends.
// Everything may be used by several goroutines at once.
//
// Reading is forgiving where only one meaning is possible (one-digit months and hours, a fraction of a
// second, which is dropped), since existing configurations have such values. Text that follows a complete
// value is an error. Pacemaker 2.1.5 ignores an offset that follows the time without a space, other than
// "Z"; here the offset counts in both forms, as the standard says.
package iso8601

import (
	"fmt"
	"strings"
	"time"
)

// MaxText is the longest text that the parsers look at, in bytes. The longest sensible value (a period of
// two dates with offsets) has about sixty.
const MaxText = 256

// Years that dates may have.
const (
	minYear = 1
	maxYear = 9999
)

// Error says which text is wrong and how.
type Error struct {
	Kind string // what was to be read: "date", "duration", "period", "range"
	Text string // as given, cut at MaxText
	Why  string
}

// Error returns the message in one line.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: %s", e.Kind, e.Text, e.Why)
}

func fail(kind, text, why string) error {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	return &Error{Kind: kind, Text: text, Why: why}
}

// ParseDate reads a date, a date with time, a time (meaning that time of the day of now in zone), or the word
// "epoch". A value without offset is in zone; nil means UTC. The result is in the zone in which it was
// written.
func ParseDate(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if zone == nil {
		zone = time.UTC
	}
	if len(text) > MaxText {
		return time.Time{}, fail("date", text, fmt.Sprintf("longer than %d bytes", MaxText))
	}
	s := strings.TrimSpace(text)
	if s == "" {
		return time.Time{}, fail("date", text, "empty")
	}
	if strings.EqualFold(s, "epoch") {
		return time.Unix(0, 0).UTC(), nil
	}

	day := now.In(zone)
	y, m, d := day.Year(), int(day.Month()), day.Day()
	rest := s
	if timeOnly(s) {
		rest = strings.TrimPrefix(s, "T")
	} else {
		var why string
		y, m, d, rest, why = readDay(s)
		if why != "" {
			return time.Time{}, fail("date", text, why)
		}
		switch {
		case rest == "":
			return time.Date(y, time.Month(m), d, 0, 0, 0, 0, zone), nil
		case rest[0] == 'T':
			rest = rest[1:]
		case rest[0] == ' ':
			rest = strings.TrimLeft(rest, " ")
		case rest[0] == 'Z' || rest[0] == '+':
			// A day with an offset but no time: midnight there.
			rest = "00" + rest
		default:
			return time.Time{}, fail("date", text, fmt.Sprintf("unexpected %q after the day; a time follows after \"T\" or a space", rest))
		}
	}
	if rest == "" {
		rest = "00"
	}
	c, rest, why := readClock(rest)
	if why != "" {
		return time.Time{}, fail("date", text, why)
	}
	loc, why := readZone(strings.TrimLeft(rest, " "), zone)
	if why != "" {
		return time.Time{}, fail("date", text, why)
	}
	return time.Date(y, time.Month(m), d, c.hour, c.minute, c.second, 0, loc), nil
}

// timeOnly reports whether s has no day: it starts with T, or with one or two digits and a colon.
func timeOnly(s string) bool {
	if s[0] == 'T' {
		return true
	}
	_, rest := digits(s, 2)
	return len(rest) < len(s) && strings.HasPrefix(rest, ":")
}

// readDay reads YYYY-MM-DD, YYYYMMDD, YYYY-DDD or YYYY-Www-D from the start of s. A non-empty why says what
// is wrong.
func readDay(s string) (y, m, d int, rest, why string) {
	const forms = "expected YYYY-MM-DD, YYYYMMDD, YYYY-DDD or YYYY-Www-D"
	year, rest := digits(s, 4)
	if len(s)-len(rest) != 4 {
		return 0, 0, 0, "", forms
	}
	y = year
	if y < minYear {
		return 0, 0, 0, "", "year 0000 does not exist"
	}
	if !strings.HasPrefix(rest, "-") {
		both, after := digits(rest, 4)
		if len(rest)-len(after) != 4 || startsWithDigit(after) {
			return 0, 0, 0, "", forms
		}
		m, d, rest = both/100, both%100, after
		why = checkDay(y, m, d)
		return y, m, d, rest, why
	}
	rest = rest[1:]
	if strings.HasPrefix(rest, "W") {
		w, after := digits(rest[1:], 2)
		if len(rest)-len(after) != 3 || !strings.HasPrefix(after, "-") {
			return 0, 0, 0, "", forms
		}
		wd, end := digits(after[1:], 1)
		if len(after)-len(end) != 2 || startsWithDigit(end) {
			return 0, 0, 0, "", forms
		}
		if last := weeksInYear(y); w < 1 || w > last {
			return 0, 0, 0, "", fmt.Sprintf("week %d is outside 1-%d", w, last)
		}
		if wd < 1 || wd > 7 {
			return 0, 0, 0, "", fmt.Sprintf("weekday %d is outside 1-7", wd)
		}
		t := weekStart(y).AddDate(0, 0, (w-1)*7+wd-1)
		if t.Year() < minYear || t.Year() > maxYear {
			return 0, 0, 0, "", "outside the years 1-9999"
		}
		return t.Year(), int(t.Month()), t.Day(), end, ""
	}
	a, after := digits(rest, 3)
	switch n := len(rest) - len(after); {
	case n == 3 && !startsWithDigit(after):
		if last := daysInYear(y); a < 1 || a > last {
			return 0, 0, 0, "", fmt.Sprintf("day %d is outside 1-%d", a, last)
		}
		t := time.Date(y, 1, a, 0, 0, 0, 0, time.UTC)
		return y, int(t.Month()), t.Day(), after, ""
	case (n == 1 || n == 2) && strings.HasPrefix(after, "-"):
		day, end := digits(after[1:], 2)
		if len(end) == len(after)-1 || startsWithDigit(end) {
			return 0, 0, 0, "", forms
		}
		return y, a, day, end, checkDay(y, a, day)
	}
	return 0, 0, 0, "", forms
}

func checkDay(y, m, d int) string {
	if m < 1 || m > 12 {
		return fmt.Sprintf("month %d is outside 1-12", m)
	}
	if last := daysInMonth(y, m); d < 1 || d > last {
		return fmt.Sprintf("day %d is outside 1-%d", d, last)
	}
	return ""
}

type clock struct{ hour, minute, second int }

// readClock reads HH[:MM[:SS]] or HH[MM[SS]] from the start of s, with an optional fraction of the second.
func readClock(s string) (c clock, rest, why string) {
	const forms = "expected a time HH[:MM[:SS]] or HH[MM[SS]]"
	hour, rest := digits(s, 2)
	if len(rest) == len(s) {
		return c, "", forms
	}
	c.hour = hour
	if sep := ":"; strings.HasPrefix(rest, sep) {
		for _, field := range []*int{&c.minute, &c.second} {
			if !strings.HasPrefix(rest, sep) {
				break
			}
			v, after := digits(rest[1:], 2)
			if len(after) == len(rest)-1 || startsWithDigit(after) {
				return c, "", forms
			}
			*field, rest = v, after
		}
	} else {
		for _, field := range []*int{&c.minute, &c.second} {
			if !startsWithDigit(rest) {
				break
			}
			v, after := digits(rest, 2)
			if len(rest)-len(after) != 2 {
				return c, "", forms
			}
			*field, rest = v, after
		}
		if startsWithDigit(rest) {
			return c, "", forms
		}
	}
	if strings.HasPrefix(rest, ".") && startsWithDigit(rest[1:]) {
		rest = strings.TrimLeft(rest[1:], "0123456789")
	}
	switch {
	case c.hour == 24 && c.minute == 0 && c.second == 0:
	case c.hour > 23:
		why = fmt.Sprintf("hour %d is outside 0-23 (24:00:00 is allowed)", c.hour)
	case c.minute > 59:
		why = fmt.Sprintf("minute %d is outside 0-59", c.minute)
	case c.second > 59:
		why = fmt.Sprintf("second %d is outside 0-59", c.second)
	}
	return c, rest, why
}

// readZone reads what follows the time: nothing (zone), Z, UTC, GMT or an offset.
func readZone(s string, zone *time.Location) (*time.Location, string) {
	const forms = "expected \"Z\", \"+HH[:MM]\" or \"-HH[:MM]\" after the time"
	switch {
	case s == "":
		return zone, ""
	case strings.EqualFold(s, "Z"), strings.EqualFold(s, "UTC"), strings.EqualFold(s, "GMT"):
		return time.UTC, ""
	case s[0] != '+' && s[0] != '-':
		return nil, forms
	}
	h, rest := digits(s[1:], 2)
	if len(rest) == len(s)-1 {
		return nil, forms
	}
	rest = strings.TrimPrefix(rest, ":")
	m := 0
	if rest != "" {
		var end string
		m, end = digits(rest, 2)
		if len(rest)-len(end) != 2 || end != "" {
			return nil, forms
		}
	}
	if h > 23 || m > 59 {
		return nil, fmt.Sprintf("offset %s is outside -23:59 to +23:59", s)
	}
	secs := h*3600 + m*60
	if s[0] == '-' {
		secs = -secs
	}
	if secs == 0 {
		return time.UTC, ""
	}
	return time.FixedZone("", secs), ""
}

// digits reads up to limit decimal digits from the start of s.
func digits(s string, limit int) (int, string) {
	n, i := 0, 0
	for i < len(s) && i < limit && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int(s[i]-'0')
		i++
	}
	return n, s[i:]
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

func isLeap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func daysInYear(y int) int {
	if isLeap(y) {
		return 366
	}
	return 365
}

func daysInMonth(y, m int) int {
	switch m {
	case 2:
		if isLeap(y) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// weekStart is the Monday of the first ISO week of year y: the week that has 4 January.
func weekStart(y int) time.Time {
	t := time.Date(y, 1, 4, 0, 0, 0, 0, time.UTC)
	return t.AddDate(0, 0, -(Weekday(t) - 1))
}

func weeksInYear(y int) int {
	_, w := time.Date(y, 12, 28, 0, 0, 0, 0, time.UTC).ISOWeek()
	return w
}

// Weekday returns the ISO weekday of t in its own zone: 1 is Monday, 7 is Sunday.
func Weekday(t time.Time) int { return int(t.Weekday()+6)%7 + 1 }

// Style is a way to write a day.
type Style uint8

// Styles of Format.
const (
	Calendar Style = iota // 2005-01-20
	Ordinal               // 2005-020
	Week                  // 2005-W03-4
)

// Format writes t, in its own zone, as the iso8601 tool does: "2005-01-20 10:00:00Z", with an offset such as
// " +01:00" instead of Z in other zones.
func Format(t time.Time, style Style) string {
	var day string
	switch style {
	case Ordinal:
		day = fmt.Sprintf("%04d-%03d", t.Year(), t.YearDay())
	case Week:
		y, w := t.ISOWeek()
		day = fmt.Sprintf("%04d-W%02d-%d", y, w, Weekday(t))
	default:
		day = fmt.Sprintf("%04d-%02d-%02d", t.Year(), t.Month(), t.Day())
	}
	_, offset := t.Zone()
	if offset == 0 {
		return day + t.Format(" 15:04:05Z")
	}
	return day + t.Format(" 15:04:05 -07:00")
}
