package parts

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/almanac-data/almanac/functions/internal/query"
)

// divides says whether a value of a type can be written such that all engines read the same one back.
func divides(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.INT64, arrow.STRING, arrow.BOOL, arrow.DATE32, arrow.TIMESTAMP, arrow.DECIMAL128:
		return true
	default:
		return false
	}
}

// value is one cell of a key.
type value struct {
	null bool
	text string
	year int // of dates and timestamps
}

func valueOf(a arrow.Array, row int) value {
	if a.IsNull(row) {
		return value{null: true}
	}
	switch a := a.(type) {
	case *array.String:
		return value{text: strings.Clone(a.Value(row))} // the batch goes
	case *array.Date32:
		at := a.Value(row).ToTime()
		return value{text: at.Format(time.DateOnly), year: at.Year()}
	case *array.Timestamp:
		at := a.Value(row).ToTime(arrow.Microsecond)
		return value{text: at.Format("2006-01-02 15:04:05.999999"), year: at.Year()}
	default:
		return value{text: a.ValueStr(row)}
	}
}

// condition compares a column with the value.
func (v value) condition(column arrow.Field, operator string) (string, error) {
	if v.null {
		return quoted(column.Name) + " IS NULL", nil
	}
	sql, err := v.literal(column)
	return quoted(column.Name) + " " + operator + " " + sql, err
}

// literal is a value as SQL, with a cast to the column's type where a plain literal might be of another.
func (v value) literal(column arrow.Field) (string, error) {
	switch t := column.Type.(type) {
	case *arrow.Int64Type:
		return "CAST('" + v.text + "' AS BIGINT)", nil
	case *arrow.Decimal128Type:
		return fmt.Sprintf("CAST('%s' AS DECIMAL(%d, %d))", v.text, t.Precision, t.Scale), nil
	case *arrow.BooleanType:
		return v.text, nil
	case *arrow.StringType:
		return stringLiteral(v.text), nil
	}
	if v.year < 1 || v.year > 9999 {
		return "", &query.Error{Detail: "parts cannot be made by " + column.Name + ", which has the year " + strconv.Itoa(v.year)}
	}
	if column.Type.ID() == arrow.DATE32 {
		return "DATE '" + v.text + "'", nil
	}
	return "TIMESTAMP '" + v.text + "'", nil
}

// stringLiteral writes a text. Statements travel as texts that end with the first zero byte, so that one is computed.
func stringLiteral(s string) string {
	pieces := strings.Split(strings.ReplaceAll(s, "'", "''"), "\x00")
	if len(pieces) == 1 {
		return "'" + pieces[0] + "'"
	}
	return "('" + strings.Join(pieces, "' || chr(0) || '") + "')"
}
