package mls
import ("testing";"crypto/ed25519")
func BenchmarkPrimVerify(b *testing.B){ pub,priv,_:=ed25519.GenerateKey(nil); m:=make([]byte,300); s:=ed25519.Sign(priv,m); for b.Loop(){ if !ed25519.Verify(pub,m,s){b.Fatal()}}}
func BenchmarkPrimSign(b *testing.B){ _,priv,_:=ed25519.GenerateKey(nil); m:=make([]byte,300); for b.Loop(){ ed25519.Sign(priv,m)}}
func BenchmarkPrimSeal(b *testing.B){ cs,_:=lookup(DefaultSuite); k,_,_:=generatedKey(cs); p:=k.PublicKey(); for b.Loop(){ cs.seal(p,"x",make([]byte,200),make([]byte,48))}}
func BenchmarkPrimOpen(b *testing.B){ cs,_:=lookup(DefaultSuite); k,_,_:=generatedKey(cs); c,_:=cs.seal(k.PublicKey(),"x",make([]byte,200),make([]byte,48)); for b.Loop(){ cs.open(k,"x",make([]byte,200),c)}}
func BenchmarkPrimDerive(b *testing.B){ cs,_:=lookup(DefaultSuite); for b.Loop(){ cs.pathKey(make([]byte,48))}}
func BenchmarkPrimPub(b *testing.B){ cs,_:=lookup(DefaultSuite); k,_,_:=generatedKey(cs); p:=k.PublicKey().Bytes(); for b.Loop(){ cs.publicKey(p)}}
func BenchmarkPrimGen(b *testing.B){ cs,_:=lookup(DefaultSuite); for b.Loop(){ generatedKey(cs)}}
func BenchmarkPrimPriv(b *testing.B){ cs,_:=lookup(DefaultSuite); _,r,_:=generatedKey(cs); for b.Loop(){ cs.privateKey(r)}}
