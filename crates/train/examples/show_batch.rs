//! Scratch.
use std::path::Path;
use std::sync::Arc;
use visionthink_train::*;
fn main() {
    let config = TrainConfig::from_file(Path::new("configs/micro-sft.toml")).unwrap();
    let folder = Path::new("assets/micro");
    let builder = TranscriptBuilder::new(folder, "compact", config.loss, 4096).unwrap();
    let tok = visionthink_protocol::Tokenizer::from_dir(folder).unwrap();
    let c = Curriculum::new(config.clone(), Arc::new(Source::open(&config.data).unwrap()), Arc::new(builder), ImageTokens { id: Some(tok.special().image_pad), merge: 2 });
    for step in [0, 1500] {
        let b = c.batches(step).unwrap();
        for m in &b[..1] {
            for r in 0..3 {
                println!("{:?} {:?}", m.shown[r], tok.decode(&m.ids[r], false).unwrap());
                for (i, t) in m.targets.iter().enumerate().filter(|(i, _)| m.sequences[*i] == r) {
                    print!("[{} {:?} {} {:?} row {}] ", t.at, tok.id_to_token(t.id).unwrap(), t.weight, t.kind, m.rows[i]);
                }
                let n = m.positions.tokens();
                println!("\n t {:?}\n y {:?}\n x {:?}", &m.positions.axes()[0][r*n..r*n+n.min(40)], &m.positions.axes()[1][r*n..r*n+n.min(40)], &m.positions.axes()[2][r*n..r*n+n.min(40)]);
            }
            println!("grids {:?}", &m.grids[..4]);
            // picture of first: luminance of patches
            let g = m.grids[0];
            for py in 0..g.h { for y in (0..14).step_by(1) { let mut l=String::new(); for px in 0..g.w {
                let cell=(py/2)*(g.w/2)+px/2; let idx=cell*4+(py%2)*2+px%2;
                for x in 0..14 { let v=m.pixels[(idx as usize)*1176+y*14+x]; l.push(if v>1.0 {' '} else if v>0.0 {'.'} else if v> -1.0 {'o'} else {'#'}); } }
                println!("{l}"); } }
        }
    }
}
