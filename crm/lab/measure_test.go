package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFigure_Verdict(t *testing.T) {
	t.Parallel()
	limit := map[string]float64{"default": 10}
	for _, tt := range []struct {
		name   string
		f      figure
		median float64
		worst  float64
		want   string
	}{
		{"no limit", figure{values: []float64{1}}, 1, 1, "–"},
		{"not measured", figure{limit: limit}, 0, 0, "not measured"},
		{"met", figure{limit: limit, values: []float64{11, 9, 10}}, 10, 11, "met"},
		{"even number", figure{limit: limit, values: []float64{8, 10, 9, 11}}, 9.5, 11, "met"},
		{"median missed", figure{limit: limit, values: []float64{9, 11, 12}}, 11, 12, "missed"},
		{"worst missed", figure{limit: limit, values: []float64{1, 2, 16}}, 2, 16, "median met, worst missed"},
		{"least met", figure{limit: limit, floor: true, values: []float64{12, 11, 9}}, 11, 9, "met"},
		{"least missed", figure{limit: limit, floor: true, values: []float64{9, 9, 20}}, 9, 9, "missed"},
		{"least, worst missed", figure{limit: limit, floor: true, values: []float64{11, 12, 6}}, 11, 6, "median met, worst missed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if m, w, v := tt.f.median(), tt.f.worst(), tt.f.verdict("default"); m != tt.median || w != tt.worst || v != tt.want {
				t.Errorf("median %v, worst %v, verdict %q; want %v, %v, %q", m, w, v, tt.median, tt.worst, tt.want)
			}
		})
	}
}

func TestWriteSection(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "doc.md")
	text := "a\n<!-- begin fast -->\nold\n<!-- end fast -->\nb\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time must not add anything
		if err := writeSection(file, "fast", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	want := "a\n<!-- begin fast -->\n\nnew\n\n<!-- end fast -->\nb\n"
	if data, err := os.ReadFile(file); err != nil || string(data) != want {
		t.Errorf("the document is %q, %v; want %q", data, err, want)
	}
	if err := writeSection(file, "default", "new\n"); err == nil || !strings.Contains(err.Error(), "begin default") {
		t.Errorf("writeSection() without marks = %v, want an error that names them", err)
	}
}
