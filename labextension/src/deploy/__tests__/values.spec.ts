import { nullTranslator } from '@jupyterlab/translation';

import { createBody, EMPTY, hasGpus, imagesOf, pathBelow, updateBody, valuesOf } from '../values';
import { folder, OFFER } from './samples';

const trans = nullTranslator.load('');

it('sends what the definition says where nothing else is typed', () => {
  expect(createBody(valuesOf(folder()), '/home/ann/words', OFFER, trans)).toEqual({
    body: { folder: '/home/ann/words', name: 'words', replicas: 1, public: false },
    wrong: {}
  });
});

it.each(['', 'Words', 'two words', 'a--b', '-a', '9a', 'a'.repeat(21)])(
  'knows that %p is no name of a service',
  name => {
    expect(createBody({ ...EMPTY, name }, '/w', OFFER, trans).wrong).toHaveProperty('name');
  }
);

it('asks for no more replicas than there may be', () => {
  const wrong = (replicas: string) => createBody({ ...EMPTY, name: 'a', replicas }, '/w', OFFER, trans).wrong;
  expect(wrong('3')).toEqual({});
  expect(wrong('4').replicas).toBe('A number from 0 to 3.');
  expect(wrong('one').replicas).toBe('A number from 0 to 3.');
  expect(wrong('-1')).toHaveProperty('replicas');
});

it('sends image and GPUs only where they can be asked for', () => {
  const values = { ...EMPTY, name: 'a', image: 'their/image', gpus: '2' };
  expect(createBody(values, '/w', OFFER, trans).body).not.toHaveProperty('image');
  expect(createBody(values, '/w', OFFER, trans).body).not.toHaveProperty('gpus');
  const offer = { ...OFFER, containers: true, gpus: { total: 4, free: 1 }, max_gpus_per_replica: 2 };
  expect(createBody(values, '/w', offer, trans).body).toMatchObject({ image: 'their/image', gpus: 2 });
  expect(createBody({ ...values, gpus: '3' }, '/w', offer, trans).wrong.gpus).toBe('A number from 0 to 2.');
});

it('knows where there are GPUs', () => {
  expect(hasGpus(null)).toBe(false);
  expect(hasGpus(OFFER)).toBe(false);
  expect(hasGpus({ ...OFFER, gpus: { total: 0, free: 0 } })).toBe(false);
  expect(hasGpus({ ...OFFER, gpus: { total: 1, free: 0 } })).toBe(true);
  expect(hasGpus({ ...OFFER, max_gpus_per_replica: 1 })).toBe(true);
  expect(hasGpus({ ...OFFER, gpus: { total: 1, free: 1 }, max_gpus_per_replica: 0 })).toBe(false);
});

it('offers the own image first, and no patterns', () => {
  expect(imagesOf({ ...OFFER, own_image: 'mine', images: ['gpu', 'mine', 'team/*'] })).toEqual([
    'mine',
    'gpu'
  ]);
});

it('tells what is wrong with a variable', () => {
  const wrong = (...names: string[]) =>
    createBody(
      { ...EMPTY, name: 'a', environment: names.map(name => ({ name, value: '1' })) },
      '/w',
      OFFER,
      trans
    ).wrong.environment;
  expect(wrong('A', 'b_2')).toBeUndefined();
  expect(wrong('')).toBe('A variable has no name.');
  expect(wrong('2A')).toContain('“2A” is no name');
  expect(wrong('A', 'A')).toBe('A is set twice.');
});

it('leaves the variables of a service as they are unless they are replaced', () => {
  const values = { ...EMPTY, environment: [{ name: 'A', value: '1' }] };
  expect(updateBody(values, OFFER, trans).body).toEqual({});
  expect(updateBody({ ...values, replaces: true }, OFFER, trans).body).toEqual({ environment: { A: '1' } });
});

it('finds a folder of the disk in the file browser', () => {
  expect(pathBelow('/home/ann', '/home/ann/a/b')).toBe('a/b');
  expect(pathBelow('/home/ann/', '/home/ann')).toBe('');
  expect(pathBelow('/', '/srv/model')).toBe('srv/model');
  expect(pathBelow('/home/ann', '/home/anna')).toBeNull();
  expect(pathBelow('', '/home/ann')).toBeNull();
});
