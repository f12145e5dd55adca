package iso8601

import (
	"fmt"
	"strings"
	"time"
)

// maxCount is the largest number that a field of a duration may have. It keeps every sum of seconds inside an
// int64 and is more than any date can move.
const maxCount = 999_999_999

// Duration is an ISO 8601 duration: fields that are added to a date one after the other. Fields may be
// negative.
type Duration struct {
	Years, Months, Weeks, Days, Hours, Minutes, Seconds int64
}

// ParseDuration reads PnYnMnWnDTnHnMnS with any subset of the fields, and "PT" as nothing. M means months
// before T and minutes after it; the other letters may stand on either side, as Pacemaker's tool accepts. Of
// repeated fields years and months keep the last, the others add up.
func ParseDuration(text string) (Duration, error) {
	if len(text) > MaxText {
		return Duration{}, fail("duration", text, fmt.Sprintf("longer than %d bytes", MaxText))
	}
	var d Duration
	s := strings.TrimSpace(text)
	if !strings.HasPrefix(s, "P") {
		return d, fail("duration", text, "expected \"P\" at the start, such as P1DT12H")
	}
	s = s[1:]
	if s == "" {
		return d, fail("duration", text, "no field after \"P\"")
	}
	afterT := false
	for s != "" {
		if s[0] == 'T' {
			afterT = true
			s = s[1:]
			continue
		}
		n, rest, why := number(s)
		if why != "" {
			return Duration{}, fail("duration", text, why)
		}
		if rest == "" {
			return Duration{}, fail("duration", text, fmt.Sprintf("no unit after %q", s))
		}
		var field *int64
		switch rest[0] {
		case 'Y':
			field, d.Years = &d.Years, 0
		case 'M':
			if afterT {
				field = &d.Minutes
			} else {
				field, d.Months = &d.Months, 0
			}
		case 'W':
			field = &d.Weeks
		case 'D':
			field = &d.Days
		case 'H':
			field = &d.Hours
		case 'S':
			field = &d.Seconds
		default:
			return Duration{}, fail("duration", text, fmt.Sprintf("unknown unit %q; units are Y M W D, and H M S after T", rest[0]))
		}
		*field += n
		s = rest[1:]
	}
	return d, nil
}

// ParseCount reads the number of one field of a duration, such as the value of the "days" attribute of a
// duration element.
func ParseCount(text string) (int64, error) {
	s := strings.TrimSpace(text)
	n, rest, why := number(s)
	if why == "" && rest != "" {
		why = fmt.Sprintf("unexpected %q after the number", rest)
	}
	if why != "" {
		return 0, fail("number", text, why)
	}
	return n, nil
}

// number reads an integer with optional sign from the start of s.
func number(s string) (n int64, rest, why string) {
	neg := false
	rest = s
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		neg = rest[0] == '-'
		rest = rest[1:]
	}
	if !startsWithDigit(rest) {
		return 0, "", fmt.Sprintf("expected a whole number at %q", s)
	}
	for startsWithDigit(rest) {
		n = n*10 + int64(rest[0]-'0')
		if n > maxCount {
			return 0, "", fmt.Sprintf("number is larger than %d", maxCount)
		}
		rest = rest[1:]
	}
	if neg {
		n = -n
	}
	return n, rest, ""
}

// TotalSeconds converts the duration to seconds with years of 365 days and months of 30 days.
func (d Duration) TotalSeconds() int64 {
	days := d.Years*365 + d.Months*30 + d.Weeks*7 + d.Days
	return days*86400 + d.Hours*3600 + d.Minutes*60 + d.Seconds
}

// AddTo returns t moved by the duration, years first, at the offset that t has. A year keeps the day of the year, a
// month the day of the month, unless the target is shorter: then its last day is used. Days and smaller units
// are 86400, 3600, 60 and 1 seconds of t's calendar, without regard to daylight saving. The result stops at
// the ends of the years 1 and 9999.
func (d Duration) AddTo(t time.Time) time.Time {
	return add(t, d.Years, d.Months, (d.Weeks*7+d.Days)*86400+d.Hours*3600+d.Minutes*60+d.Seconds)
}

// SubtractFrom is AddTo with every field negated.
func (d Duration) SubtractFrom(t time.Time) time.Time {
	return add(t, -d.Years, -d.Months, -((d.Weeks*7+d.Days)*86400 + d.Hours*3600 + d.Minutes*60 + d.Seconds))
}

// add does the work on the offset that t has, so that a duration is the same length in every season: the
// offset belongs to the value (spec/01-inputs.md 2.5).
func add(t time.Time, years, months, secs int64) time.Time {
	_, offset := t.Zone()
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", offset)
	}
	t = t.In(zone)
	first := time.Date(minYear, 1, 1, 0, 0, 0, 0, zone)
	last := time.Date(maxYear, 12, 31, 23, 59, 59, 0, zone)

	y, day := int64(t.Year())+years, t.YearDay()
	switch {
	case y < minYear:
		return first
	case y > maxYear:
		return last
	}
	h, m, s := t.Clock()
	t = time.Date(int(y), 1, min(day, daysInYear(int(y))), h, m, s, 0, zone)

	month := y*12 + int64(t.Month()) - 1 + months
	switch {
	case month < minYear*12:
		return first
	case month >= (maxYear+1)*12:
		return last
	}
	ty, tm := int(month/12), int(month%12)+1
	t = time.Date(ty, time.Month(tm), min(t.Day(), daysInMonth(ty, tm)), h, m, s, 0, zone)

	at := t.Unix() + secs
	switch {
	case at < first.Unix():
		return first
	case at > last.Unix():
		return last
	}
	return time.Unix(at, 0).In(zone)
}

// String writes the duration in its ISO 8601 form; nothing is "PT0S".
func (d Duration) String() string {
	var b strings.Builder
	b.WriteByte('P')
	put := func(n int64, unit byte) {
		if n != 0 {
			fmt.Fprintf(&b, "%d%c", n, unit)
		}
	}
	put(d.Years, 'Y')
	put(d.Months, 'M')
	put(d.Weeks, 'W')
	put(d.Days, 'D')
	if d.Hours != 0 || d.Minutes != 0 || d.Seconds != 0 {
		b.WriteByte('T')
		put(d.Hours, 'H')
		put(d.Minutes, 'M')
		put(d.Seconds, 'S')
	}
	if b.Len() == 1 {
		return "PT0S"
	}
	return b.String()
}

// Period is the time from Start to End, both included. End may be before Start; such a period is empty.
type Period struct{ Start, End time.Time }

// ParsePeriod reads START/END, START/DURATION, DURATION/END, or a duration alone, which starts at now.
// Dates are read as ParseDate does.
func ParsePeriod(text string, now time.Time, zone *time.Location) (Period, error) {
	if len(text) > MaxText {
		return Period{}, fail("period", text, fmt.Sprintf("longer than %d bytes", MaxText))
	}
	a, b, both := strings.Cut(text, "/")
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	wrap := func(err error) error { return fmt.Errorf("period %q: %w", text, err) }
	if strings.HasPrefix(a, "P") {
		d, err := ParseDuration(a)
		if err != nil {
			return Period{}, wrap(err)
		}
		if !both {
			return Period{Start: now, End: d.AddTo(now)}, nil
		}
		end, err := ParseDate(b, now, zone)
		if err != nil {
			return Period{}, wrap(err)
		}
		return Period{Start: d.SubtractFrom(end), End: end}, nil
	}
	if !both {
		return Period{}, fail("period", text, "expected START/END, START/DURATION, DURATION/END or DURATION")
	}
	start, err := ParseDate(a, now, zone)
	if err != nil {
		return Period{}, wrap(err)
	}
	if strings.HasPrefix(b, "P") {
		d, err := ParseDuration(b)
		if err != nil {
			return Period{}, wrap(err)
		}
		return Period{Start: start, End: d.AddTo(start)}, nil
	}
	end, err := ParseDate(b, now, zone)
	if err != nil {
		return Period{}, wrap(err)
	}
	return Period{Start: start, End: end}, nil
}

// Range is a range of whole numbers of which either end may be open.
type Range struct {
	Low, High       int64
	HasLow, HasHigh bool
}

// ParseRange reads "N", "N-M", "N-" or "-M". A range whose low end is above its high end is read, and
// contains nothing.
func ParseRange(text string) (Range, error) {
	const forms = "expected N, N-M, N- or -M"
	s := strings.TrimSpace(text)
	if len(s) > MaxText {
		return Range{}, fail("range", text, fmt.Sprintf("longer than %d bytes", MaxText))
	}
	lowText, highText, dash := strings.Cut(s, "-")
	lowText, highText = strings.TrimSpace(lowText), strings.TrimSpace(highText)
	var r Range
	if lowText == "" && highText == "" {
		return r, fail("range", text, forms)
	}
	for _, end := range []struct {
		text string
		n    *int64
		has  *bool
	}{{lowText, &r.Low, &r.HasLow}, {highText, &r.High, &r.HasHigh}} {
		if end.text == "" {
			continue
		}
		n, err := ParseCount(end.text)
		if err != nil || end.text[0] == '-' || end.text[0] == '+' {
			return Range{}, fail("range", text, forms)
		}
		*end.n, *end.has = n, true
	}
	if !dash {
		r.High, r.HasHigh = r.Low, true
	}
	return r, nil
}

// Contains reports whether n is in the range.
func (r Range) Contains(n int64) bool {
	return (!r.HasLow || n >= r.Low) && (!r.HasHigh || n <= r.High)
}

// Empty reports whether no number is in the range.
func (r Range) Empty() bool { return r.HasLow && r.HasHigh && r.Low > r.High }
