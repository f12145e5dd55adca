package rule

import "testing"

func TestIsScore(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0", "7", "-7", "+12345678901234567890", "INFINITY", "-INFINITY", "+INFINITY", "red", "Yellow", "GREEN"} {
		if !isScore(text) {
			t.Errorf("isScore(%q) = false, want true", text)
		}
	}
	for _, text := range []string{"", "+", "-", "--1", "+-1", "1.5", "1 ", " 1", "1\n", "infinity", "-red", "reds", "INFINITY1", "٣"} {
		if isScore(text) {
			t.Errorf("isScore(%q) = true, want false", text)
		}
	}
}
