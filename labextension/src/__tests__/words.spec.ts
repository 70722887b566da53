import { nullTranslator } from '@jupyterlab/translation';

import { readyFigures, readyWords, remark } from '../words';
import { replica, service } from './fakes';

const trans = nullTranslator.load('jupyter_model_service');

it('says why a service is as it is, and not its state once more', () => {
  expect(remark(service('chat', { state: 'stopped', reason: 'stopped', note: null }), trans)).toBeNull();
  expect(remark(service('chat', { state: 'stopped', reason: 'stopped; 1 still ending' }), trans)).toBe(
    'stopped; 1 still ending'
  );
});

it('counts no more ready replicas than are wanted: what is besides is named for itself', () => {
  const during = (want: number, former: number, fresh: number) => {
    const ready = [...Array(former).fill(1), ...Array(fresh).fill(2)].map((revision, i) =>
      replica(`r-${i}`, { revision })
    );
    const loading = replica('r-9', { revision: 2, phase: 'loading' });
    const shown = service('chat', {
      revision: 2,
      replicas: { want, ready: former + fresh, total: former + fresh + 1 },
      replica_list: [...ready, loading]
    });
    return `${readyWords(shown, want, trans)}; ${readyFigures(shown, want)}`;
  };
  expect(during(1, 1, 0)).toBe('1 of 1 ready; 1/1');
  expect(during(1, 1, 1)).toBe('1 of 1 ready, 1 old; 1/1 +1');
  expect(during(2, 2, 1)).toBe('1 of 2 ready, 2 old; 1/2 +2');
  expect(during(1, 0, 3)).toBe('1 of 1 ready, 2 to end; 1/1 +2');
  expect(during(0, 1, 0)).toBe('0 of 0 ready, 1 old; 0/0 +1');
});
