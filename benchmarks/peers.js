// One of the npm packages that benchmarks/peers.py measures: `node peers.js PACKAGE FOLDER`, with the packages installed
// in FOLDER. Models, all attributes that they have, and settings are the packages' own, but for what answers nothing that
// is compared (bodies, hands, irises, liveness) and for the number of faces.
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { createRequire } = require('node:module');

const [name, folder] = process.argv.slice(2);
const load = createRequire(path.join(path.resolve(folder), 'package.json'));
const within = (...parts) => path.join(path.resolve(folder), 'node_modules', ...parts);

// The native backend where its binary could be installed, else WebAssembly.
function backend() {
  try {
    load('@tensorflow/tfjs-node');
    return { name: 'tensorflow', build: 'node' };
  } catch {
    load('@tensorflow/tfjs');
    const wasm = load('@tensorflow/tfjs-backend-wasm');
    wasm.setWasmPaths(within('@tensorflow/tfjs-backend-wasm/dist') + path.sep);
    return { name: 'wasm', build: 'node-wasm' };
  }
}

const packages = {
  async human(chosen) {
    const web = globalThis.fetch; // which opens no files
    globalThis.fetch = (url, ...more) =>
      String(url).startsWith('file:') ? Promise.resolve(new Response(fs.readFileSync(new URL(url)))) : web(url, ...more);
    const { Human } = require(within('@vladmandic/human/dist', `human.${chosen.build}.js`));
    const off = { enabled: false };
    const human = new Human({
      backend: chosen.name,
      wasmPath: within('@tensorflow/tfjs-backend-wasm/dist') + path.sep,
      modelBasePath: `file://${within('@vladmandic/human/models')}/`,
      cacheSensitivity: 0, // every image is new
      filter: off, body: off, hand: off, object: off, gesture: off, segmentation: off,
      face: { enabled: true, detector: { maxDetected: 100 }, iris: off, antispoof: off, liveness: off },
    });
    await human.load();
    const analyze = async (tensor) => {
      const { face, error } = await human.detect(tensor);
      if (error) throw new Error(error);
      return face.map((one) => ({
        box: one.box, emotion: one.emotion?.[0]?.emotion, age: one.age, gender: one.gender,
      }));
    };
    return { tf: human.tf, version: human.version, analyze };
  },

  async 'face-api'(chosen) {
    const faceapi = require(within('@vladmandic/face-api/dist', `face-api.${chosen.build}.js`));
    await faceapi.tf.setBackend(chosen.name);
    await faceapi.tf.ready();
    const models = within('@vladmandic/face-api/model');
    const { ssdMobilenetv1, faceLandmark68Net, faceExpressionNet, ageGenderNet } = faceapi.nets;
    for (const net of [ssdMobilenetv1, faceLandmark68Net, faceExpressionNet, ageGenderNet]) await net.loadFromDisk(models);
    const options = new faceapi.SsdMobilenetv1Options({ maxResults: 100 });
    const analyze = async (tensor) => {
      const found = await faceapi
        .detectAllFaces(tensor, options).withFaceLandmarks().withFaceExpressions().withAgeAndGender();
      return found.map(({ detection: { box }, expressions, age, gender }) => ({
        box: [box.x, box.y, box.width, box.height], emotion: expressions.asSortedArray()[0].expression, age, gender,
      }));
    };
    const answer = async (tensor, side) => {
      const [height, width] = tensor.shape;
      const [y, x] = [(height - side) >> 1, (width - side) >> 1];
      const crop = tensor.slice([y, x, 0], [side, side, 3]);
      const expressions = await faceExpressionNet.predictExpressions(crop);
      const { age, gender } = await ageGenderNet.predictAgeAndGender(crop);
      crop.dispose();
      return { given: true, box: [x, y, side, side], emotion: expressions.asSortedArray()[0].expression, age, gender };
    };
    return { tf: faceapi.tf, version: faceapi.version.faceapi ?? faceapi.version, analyze, answer };
  },
};

function answer(value) {
  process.stdout.write(`= ${JSON.stringify(value)}\n`);
}

async function main() {
  const chosen = backend();
  const { tf, version, analyze, answer: given } = await packages[name](chosen);
  answer({ version: `${version}, ${tf.getBackend()}` });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { path: file, height, width, runs, face } = JSON.parse(line);
    const pixels = new Uint8Array(fs.readFileSync(file));
    const milliseconds = [];
    let faces;
    for (let run = 0; run < runs; run += 1) {
      const tensor = tf.tensor3d(pixels, [height, width, 3], 'int32');
      const start = performance.now();
      faces = await analyze(tensor);
      milliseconds.push(performance.now() - start);
      if (face && given && !faces.length) faces = [await given(tensor, face)];
      tf.dispose(tensor);
    }
    answer({ milliseconds: milliseconds.at(-1), faces });
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
