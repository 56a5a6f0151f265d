//! Tables of the window order.

use visionthink_model::{GridThw, WindowOrder};

use crate::files::File;
use crate::report::Run;

pub(crate) fn run(json: &serde_json::Value, tensors: &File) -> Run {
    let mut run = Run::new(&tensors.name);
    for entry in json.as_array().unwrap() {
        let case = entry["case"].as_u64().unwrap();
        let number = |key: &str| entry[key].as_u64().unwrap() as u32;
        let merge = number("spatial_merge_size");
        let cells = number("window_size") / merge / number("patch_size");
        let grids: Vec<GridThw> = entry["grid_thw"]
            .as_array()
            .unwrap()
            .iter()
            .map(|grid| {
                let side = |at: usize| grid[at].as_u64().unwrap() as u32;
                GridThw { t: side(0), h: side(1), w: side(2) }
            })
            .collect();
        let order = WindowOrder::new(&grids, merge, cells);
        let coordinates: Vec<u32> = order.coordinates.iter().flat_map(|(row, column)| [*row, *column]).collect();
        for (name, found) in [
            ("window_index", &order.window_index),
            ("cu_window_seqlens", &order.cu_window_seqlens),
            ("cu_seqlens", &order.cu_seqlens),
            ("position_hw", &coordinates),
        ] {
            let name = format!("{case}.{name}");
            run.equal(&name, found, &tensors.ids(&name));
        }
    }
    run
}
