package client

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/securelink-chat/securelink/wire"
)

// fillRecord puts something into every field that can be told from nothing.
func fillRecord(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "_" {
				fillRecord(r, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fillRecord(r, v.Index(i))
		}
	case reflect.String:
		v.SetString("déjà vu")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(100))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + r.Uint64N(100))
	default:
		panic("a record cannot hold a " + v.Type().String())
	}
}

// TestEveryRecordIsReadAsItWasKept covers what the engine writes to disk: a
// type that the codec cannot say would be found by a person otherwise.
func TestEveryRecordIsReadAsItWasKept(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, record := range []any{&account{}, &serverRecord{}, &peer{}, &packageRecord{}, &chatRecord{}, &itemRecord{}, &chainRecord{}, &outRecord{}, &signalsRecord{}, &knownLink{}} {
		for _, full := range []bool{false, true} {
			if full {
				fillRecord(r, reflect.ValueOf(record).Elem())
			}
			raw, err := wire.Encode(record)
			if err != nil {
				t.Fatalf("%T: %v", record, err)
			}
			back := reflect.New(reflect.TypeOf(record).Elem())
			if err := wire.Decode(raw, back.Interface()); err != nil {
				t.Fatalf("%T: %v", record, err)
			}
			again, err := wire.Encode(back.Interface())
			if err != nil || string(again) != string(raw) || full && !reflect.DeepEqual(back.Interface(), record) {
				t.Errorf("%T: %+v came back as %+v, %v", record, record, back, err)
			}
		}
	}
}
