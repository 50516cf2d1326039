import {api} from "../../scripts/api.js";
import {app} from "../../scripts/app.js";

// The pack's samples, beside this file. ComfyUI's own templates bring theirs in the same way: where a graph that is
// opened names one that is not among ComfyUI's inputs, it is put there. Nothing is written before, or over anything.
// Each with the node that offers it, once it is an input.
const SAMPLES = {
    "uniavgen_portrait.png": "LoadImage",
    "uniavgen_portrait_2.png": "LoadImage",
    "uniavgen_two_people.png": "LoadImage",
    "uniavgen_clip.mp4": "LoadVideo",
    "uniavgen_recording.wav": "LoadAudio",
    "uniavgen_recording_2.wav": "LoadAudio",
};

function namedIn(graph) {
    const subgraphs = graph.definitions?.subgraphs ?? [];
    const nodes = [graph, ...subgraphs].flatMap(({nodes}) => nodes ?? []);
    const values = new Set(nodes.flatMap(node => Object.values(node.widgets_values ?? {})));
    return Object.keys(SAMPLES).filter(name => values.has(name));
}

async function nodeDefinition(kind) {
    const answer = await api.fetchApi(`/object_info/${kind}`);
    return (await answer.json())[kind];
}

async function isInput(name) {
    return JSON.stringify(await nodeDefinition(SAMPLES[name])).includes(JSON.stringify(name));
}

async function addInput(name) {
    const sample = await fetch(new URL(`samples/${name}`, import.meta.url));
    if (!sample.ok) throw new Error(`${name}: ${sample.status}`);
    const body = new FormData();
    body.append("image", new File([await sample.blob()], name));
    body.append("type", "input");
    const answer = await api.fetchApi("/upload/image", {method: "POST", body});
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
}

app.registerExtension({
    name: "UniAVGen.Samples",
    async beforeConfigureGraph(graph) {
        try {
            const missing = [];
            for (const name of namedIn(graph)) if (!(await isInput(name))) missing.push(name);
            await Promise.all(missing.map(addInput));
            // Only the nodes that offer them: a list of all takes long where there are many packs.
            for (const kind of new Set(missing.map(name => SAMPLES[name])))
                await app.registerNodeDef(kind, await nodeDefinition(kind));
        } catch (error) {
            // The graph opens all the same, and shows which file is missing.
            console.warn("UniAVGen: a sample could not be added to ComfyUI's inputs.", error);
        }
    },
});
